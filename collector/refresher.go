package collector

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

var refreshLastSuccess = desc("refresh", "last_success_timestamp_seconds",
	"When this background source was last read without an error, as Unix time; absent before the first time.", "site", "source")

// Refresher reads something in the background that is too slow or too dear for every scrape, and keeps the last result.
type Refresher[T any] struct {
	cadence time.Duration
	timeout time.Duration
	clock   func() time.Time
	read    func(context.Context) (T, error)

	mu   sync.Mutex
	last Refreshed[T]
}

// Refreshed is where a Refresher stands.
type Refreshed[T any] struct {
	// Value is what the last read without an error gave; the zero value before it.
	Value T
	// Success is when that was; the zero time before it.
	Success time.Time
	// Err is the error of the last read, nil if it had none or there was no read yet.
	Err error
}

// NewRefresher reads every cadence and gives each read at most timeout, by its context, which it must obey.
func NewRefresher[T any](cadence, timeout time.Duration, clock func() time.Time, read func(context.Context) (T, error)) *Refresher[T] {
	return &Refresher[T]{cadence: cadence, timeout: timeout, clock: clock, read: read}
}

// Run reads at once and then at every cadence, until ctx ends. A read that takes longer makes the next one wait.
func (r *Refresher[T]) Run(ctx context.Context) {
	tick := time.NewTicker(r.cadence)
	defer tick.Stop()
	for {
		r.Refresh(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Refresh reads once, for a caller that has no time for Run.
func (r *Refresher[T]) Refresh(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	value, err := r.safely(ctx)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last.Err = err
	if err == nil {
		r.last.Value, r.last.Success = value, r.clock()
	}
}

func (r *Refresher[T]) safely(ctx context.Context) (value T, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return r.read(ctx)
}

// Last returns the last result without waiting for one under way.
func (r *Refresher[T]) Last() Refreshed[T] {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// Overdue is an error where Run should have succeeded at least three times since the last success, whatever kept it.
func (r *Refresher[T]) Overdue() error {
	last := r.Last()
	if last.Success.IsZero() || r.clock().Sub(last.Success) < 3*r.cadence {
		return last.Err
	}
	if last.Err != nil {
		return fmt.Errorf("not read since %s: %w", last.Success.Format(time.RFC3339), last.Err)
	}
	return fmt.Errorf("not read since %s", last.Success.Format(time.RFC3339))
}

// emit tells when the source was last read; site is empty for one of the whole host.
func (r *Refresher[T]) emit(emit Emit, site, source string) {
	emit.when(refreshLastSuccess, r.Last().Success, site, source)
}
