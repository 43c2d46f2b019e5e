package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/internal/phpfpm"
)

// ErrStillBusy is a pool that was still working on requests from before the site was closed.
var ErrStillBusy = errors.New("requests from before the site was closed are still running")

const (
	drainCheck = "the wait for running requests"
	drainPoll  = 100 * time.Millisecond
	// drainAsk bounds one question to a pool all of whose children are busy: only pm.status_listen answers then.
	drainAsk = 2 * time.Second
)

// Drain waits until the pools work on no request any more that began before closed, which is when the maintenance file
// was written: later ones get the maintenance page and touch nothing. After limit it gives up with an ErrStillBusy that
// says how many are left; ReloadPool ends those. An ErrNotChecked is a pool that tells its status nowhere. Requests of
// another site in the same pool count as well: nobody can tell them apart without reading addresses.
func Drain(ctx context.Context, site *moodle.Site, pools []phpfpm.Pool, closed time.Time, limit time.Duration) error {
	if len(pools) == 0 {
		return &NotCheckedError{drainCheck, fmt.Errorf("no PHP-FPM pool of site %s is known", site.Name)}
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for _, pool := range pools {
		if err := drainPool(ctx, pool, closed); err != nil {
			if errors.Is(err, ErrStillBusy) {
				err = fmt.Errorf("%w after %v", err, limit)
			}
			return fmt.Errorf("wait for the requests of site %s in pool %s: %w", site.Name, cmp.Or(pool.Name, pool.Listen), err)
		}
	}
	return nil
}

func drainPool(ctx context.Context, pool phpfpm.Pool, closed time.Time) error {
	if pool.StatusPath == "" {
		return &NotCheckedError{drainCheck, errors.New("its pool file sets no pm.status_path")}
	}
	address, own := pool.StatusListen, false
	if address == "" {
		address, own = pool.Listen, true
	}
	var last []time.Duration
	answered := own // a pool without pm.status_listen does not answer while all its children are busy
	for {
		left, err := requestsSince(ctx, address, pool.StatusPath, closed)
		if err == nil {
			last, answered = left, true
		}
		switch {
		case err == nil && len(left) == 0:
			return nil
		case errors.Is(ctx.Err(), context.Canceled):
			return ctx.Err() //nolint:wrapcheck // wrapped with the pool
		case ctx.Err() != nil && answered:
			return busy(last)
		case err != nil && (!own || !errors.Is(err, context.DeadlineExceeded)):
			return &NotCheckedError{drainCheck, err}
		}
		select {
		case <-ctx.Done():
		case <-time.After(drainPoll):
		}
	}
}

// requestsSince are the times of the requests that began before closed.
func requestsSince(ctx context.Context, address, path string, closed time.Time) (old []time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, drainAsk)
	defer cancel()
	times, err := phpfpm.ReadRequests(ctx, address, path)
	age := time.Since(closed)
	for _, took := range times {
		if took >= age {
			old = append(old, took)
		}
	}
	return old, err
}

func busy(left []time.Duration) error {
	if len(left) == 0 {
		return ErrStillBusy
	}
	var times []string
	for _, took := range left[:min(len(left), 5)] {
		times = append(times, took.Round(time.Second).String())
	}
	return fmt.Errorf("%w: %d, at work for %s", ErrStillBusy, len(left), strings.Join(times, ", "))
}
