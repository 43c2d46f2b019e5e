package update

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup/tree"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/control"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// Undo puts back what was there before an update, and removes what it has made. It finds out by itself how far the update
// came, may be broken off at any point, and then be called again. The caller holds the site's lock, which Moodle's upgrade
// inherits: as long as that still runs, nobody can have it.
func Undo(ctx context.Context, o Options, j *Journal, run Run) error {
	o.setDefaults()
	w := &wayBack{Options: o, journal: j, run: run}
	if j.Phase == Draining {
		if err := w.cronBack(ctx, w.findLive(ctx)); err != nil {
			return err
		}
	}
	if j.Phase == Closed || j.Phase == Upgrading || j.Phase == Visiting {
		if err := w.putBack(ctx); err != nil {
			return err
		}
	}
	// What is left to do is to remove what nobody uses.
	if err := j.enter(Staging); err != nil {
		return err
	}
	w.At("put back")
	return w.clean(ctx)
}

// wayBack is an update that is being undone.
type wayBack struct {
	Options
	journal *Journal
	run     Run
}

// putBack brings back code and, where Moodle's upgrade was begun, the database. The site is closed meanwhile.
func (w *wayBack) putBack(ctx context.Context) error {
	j := w.journal
	closed := w.closedSite()
	before, err := w.close(ctx, closed)
	if err != nil {
		return err
	}
	if err := tree.Undo(ctx, j.CodeMoves, func(int) { w.At("code move back") }); err != nil {
		return fmt.Errorf("put the old code back: %w", err)
	}
	w.At("code back")
	site := w.findLive(ctx)
	if site == nil {
		return fmt.Errorf("the code is back in %s, but the site cannot be read: see config.php there", j.Code)
	}
	if j.Phase != Closed {
		if err := w.databaseBack(ctx, site); err != nil {
			return fmt.Errorf("put the old database back: %w", err)
		}
		w.At("database back")
	}
	if err := w.renew(ctx, site); err != nil {
		// The old site is whole; that a cache may be stale must not keep it closed.
		w.Logger.Warn("the old site is back, but its caches or PHP-FPM may be stale", "err", err)
	}
	if err := (control.CLI{Site: site, Run: w.run}).PurgeCaches(ctx); err != nil {
		w.Logger.Warn("the old site's own purge of its caches failed; they were emptied without it as far as they are known", "err", err)
	}
	if err := w.cronBack(ctx, site); err != nil {
		return err
	}
	if err := control.LeaveMaintenance(site, before); err != nil {
		return err
	}
	w.run.Announce(time.Time{})
	return nil
}

// closedSite is the site as far as it must be known to close it.
func (w *wayBack) closedSite() *moodle.Site {
	j := w.journal
	return &moodle.Site{Name: j.Site, Dir: j.Code, Link: j.Code, User: j.User, Config: moodle.PHPConfig{DataRoot: j.Dataroot}}
}

// close closes the site if it is not closed already, and says how it was before the update. Where somebody has opened it
// half upgraded, the journal says so from here on: users may have written to what is going to be taken back.
func (w *wayBack) close(ctx context.Context, site *moodle.Site) (control.Before, error) {
	before, ours, err := control.FoundMaintenance(site)
	if err != nil {
		return before, err
	}
	since := time.Now()
	if !ours {
		if j := w.journal; j.Phase == Upgrading && before == control.WasOpen && j.Database == nil {
			j.Reopened = true
			if err := j.save(); err != nil {
				return before, err
			}
		}
		until := w.Clock().Add(closedForWayBack)
		w.run.Announce(until)
		if before, err = control.EnterMaintenance(site, until); err != nil {
			return before, err
		}
	}
	if live := w.findLive(ctx); live != nil {
		site = live
	}
	if err := w.quiet(ctx, site, since); err != nil {
		w.Logger.Warn("the site is closed, but something may still be at work on it", "err", err)
	}
	return before, ctx.Err()
}

// closedForWayBack is announced to visitors and to the alerts where nobody has reckoned it.
const closedForWayBack = 30 * time.Minute

// findLive is the site in its place, if it can be read.
func (w *wayBack) findLive(ctx context.Context) *moodle.Site {
	return findLive(ctx, &w.Options, w.journal)
}

func findLive(ctx context.Context, o *Options, j *Journal) *moodle.Site {
	entry := o.Configured
	entry.Name, entry.Dir, entry.User = j.Site, j.Code, j.User
	finder := &moodle.Finder{Root: "/", PoolFiles: o.PoolFiles, Group: -1, Logger: o.Logger}
	found, problems := finder.Find(ctx, []config.Site{entry})
	if len(found) != 1 {
		o.Logger.Warn("the site cannot be read", "problems", problems)
		return nil
	}
	return found[0]
}

// cronBack switches cron on if it was on.
func (w *wayBack) cronBack(ctx context.Context, site *moodle.Site) error {
	if !w.journal.CronOn {
		return nil
	}
	if site == nil {
		return errors.New("switch cron on: the site cannot be read")
	}
	return w.waitForDatabase(ctx, func() error { return (control.CLI{Site: site, Run: w.run}).CronEnable(ctx) })
}

// clean removes what the update has made and nobody uses.
func (w *wayBack) clean(ctx context.Context) error {
	if err := discardAll(ctx, w.journal.Scratch); err != nil {
		return err
	}
	return w.journal.remove()
}

func discardAll(ctx context.Context, dirs []string) error {
	for _, path := range dirs {
		if err := tree.Discard(ctx, filepath.Dir(path), filepath.Base(path)); err != nil {
			return err
		}
	}
	return nil
}
