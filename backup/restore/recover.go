package restore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/control"
)

// Recover ends a restore that was broken off: it is finished if the restored site was opened and works, else
// undone. One that was open for longer than a switch takes is finished whether or not it works, and the error says
// what does not: its users may have written to it since. The caller holds the site's lock.
func Recover(ctx context.Context, o Options, j *Journal, run Run) (finished bool, err error) {
	if err := o.setDefaults(); err != nil {
		return false, err
	}
	u := &undoing{Options: o, journal: j, run: run}
	if j.Phase == Visiting {
		late := o.Clock().Sub(j.Opened) > closedAtMost
		err := run.Step(ctx, "finish", func(ctx context.Context) error { return u.finish(ctx, late) })
		if err == nil || j.Phase == Open || ctx.Err() != nil {
			return j.Phase == Open, err
		}
		o.Logger.Warn("the restored site does not work, so the restore is undone", "restore", j.ID, "err", err)
		j.Reopened = true
	}
	return false, run.Step(ctx, "undo", func(ctx context.Context) error { return Undo(ctx, o, j, run) })
}

// finish opens the restored site, if it is not open, and looks at it as a visitor does. anyway does not ask what the
// visitor finds.
func (u *undoing) finish(ctx context.Context, anyway bool) error {
	visited := u.visit(ctx)
	if visited != nil && (!anyway || ctx.Err() != nil) {
		return visited
	}
	u.journal.Phase, u.journal.Ended = Open, u.Clock().UTC()
	if err := u.journal.save(); err != nil {
		u.journal.Phase = Visiting
		return err
	}
	if visited != nil {
		return fmt.Errorf("the restored site is in use since %s, so that nothing is taken back, but it does not work now: %w",
			u.journal.Opened.Local().Format(time.DateTime), visited)
	}
	return nil
}

func (u *undoing) visit(ctx context.Context) error {
	site := u.findLive(ctx)
	if site == nil {
		return fmt.Errorf("there is no site at %s that can be read", u.journal.Code)
	}
	before, ours, err := control.FoundMaintenance(site)
	if err == nil && ours {
		err = control.LeaveMaintenance(site, before)
	}
	if err != nil {
		return err
	}
	if before == control.WasOpen {
		if _, err := control.CheckLogin(ctx, site, control.LoginCheck{}); err != nil && !errors.Is(err, control.ErrNotChecked) {
			return err
		}
	}
	return nil
}
