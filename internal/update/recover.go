package update

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/control"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// inUse is how long the updated site may have been open for it to be taken back: later, too many have written to it.
const inUse = 15 * time.Minute

// Recover ends an update that was broken off: it is finished if the updated site was opened and works, else undone. One
// that has been in use for a while is finished whether or not it works, and the error says what does not. The caller holds
// the site's lock.
func Recover(ctx context.Context, o Options, j *Journal, run Run) (finished bool, err error) {
	o.setDefaults()
	if j.Phase == Visiting || j.Phase == Open {
		late := o.Clock().Sub(j.Opened) > inUse
		err := run.Step(ctx, "finish", func(ctx context.Context) error { return finishLater(ctx, &o, j, run, late) })
		if err == nil || j.Phase == Open || ctx.Err() != nil {
			return j.Phase == Open, err
		}
		o.Logger.Warn("the updated site does not work, so the update is undone", "update", j.ID, "err", err)
	}
	err = run.Step(ctx, "undo", func(ctx context.Context) error { return Undo(ctx, o, j, run) })
	if err != nil {
		err = &UnfinishedError{Journal: j, Err: err}
	}
	return false, err
}

// finishLater opens the updated site, if it is not open, and looks at it as a visitor does. late does not ask what the
// visitor finds.
func finishLater(ctx context.Context, o *Options, j *Journal, run Run, late bool) error {
	site := findLive(ctx, o, j)
	if site == nil {
		return fmt.Errorf("there is no site at %s that can be read", j.Code)
	}
	var visited error
	if j.Phase == Visiting {
		if visited = revisit(ctx, o, site); visited != nil && (!late || ctx.Err() != nil) {
			return visited
		}
		if err := j.enter(Open); err != nil {
			j.Phase = Visiting
			return err
		}
	}
	err := complete(ctx, o, site, j, run)
	if err == nil && visited != nil {
		err = fmt.Errorf("the updated site is in use since %s, so that nothing is taken back, but it does not work now: %w", j.Opened.Local().Format(time.DateTime), visited)
	}
	return err
}

func revisit(ctx context.Context, o *Options, site *moodle.Site) error {
	before, ours, err := control.FoundMaintenance(site)
	if err == nil && ours {
		err = control.LeaveMaintenance(site, before)
	}
	if err != nil || before == control.WasClosed {
		return err
	}
	if _, err := control.CheckLogin(ctx, site, o.Login); err != nil && !errors.Is(err, control.ErrNotChecked) {
		return err
	}
	return nil
}

// complete does what is left when the updated site is open: cron runs as before, and the old code goes.
func complete(ctx context.Context, o *Options, site *moodle.Site, j *Journal, run Run) error {
	w := &wayBack{Options: *o, journal: j, run: run}
	if err := w.cronBack(ctx, site); err != nil {
		return err
	}
	o.At("cron on")
	return w.clean(ctx)
}
