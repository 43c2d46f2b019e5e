package update

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/control"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

const (
	// drainAtMost is how long requests that are running may take to end once the site is closed.
	drainAtMost = 15 * time.Second
	// workersAtMost is how long processes may take that run tasks although cron is off.
	workersAtMost = 10 * time.Second
	quietPoll     = 50 * time.Millisecond
	procRoot      = "/proc"
)

// quiet ends what still works on a site that was closed at that moment: requests are waited for and then broken off, and
// processes of tasks, for whom the maintenance page does not count once they have begun, must end by themselves.
func (o *Options) quiet(ctx context.Context, site *moodle.Site, closed time.Time) error {
	pools := o.pools(site)
	if len(pools) > 0 {
		if err := control.Drain(ctx, site, pools, closed, drainAtMost); err != nil && ctx.Err() == nil {
			// Nobody can tell whether they have ended, or they have not: a reload ends them.
			o.Logger.Info("requests from before the site was closed are broken off", "why", err)
			if err := control.ReloadPools(ctx, o.Bus, pools, o.Logger); err != nil {
				return err
			}
		}
	}
	deadline := time.Now().Add(workersAtMost)
	for {
		workers, err := control.Workers(procRoot, site)
		if err != nil || len(workers) == 0 {
			return errors.Join(err, ctx.Err())
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s (process %d) works on tasks of the site although cron is off: end it, and what starts it", workers[0].Script, workers[0].PID)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(quietPoll):
		}
	}
}

// renew makes a site whose code or database is another one now forget what it keeps of the one before.
func (o *Options) renew(ctx context.Context, site *moodle.Site) error {
	if err := control.PurgeFiles(site); errors.Is(err, control.ErrNotOurs) {
		o.Logger.Warn("caches of the site may be stale", "err", err)
	} else if err != nil {
		return err
	}
	if _, err := control.PurgeStores(ctx, site); err != nil {
		o.Logger.Warn("caches of the site may be stale", "err", err)
	}
	return control.ReloadPools(ctx, o.Bus, o.pools(site), o.Logger)
}
