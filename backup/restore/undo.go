package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/moodle-exporter/moodle-exporter/backup/database"
	"github.com/moodle-exporter/moodle-exporter/backup/tree"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/control"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// Undo puts back what was there before a restore, and removes what it has made. It finds out by itself how
// far the restore came, may be broken off at any point, and then be called again. The caller holds the site's lock.
func Undo(ctx context.Context, o Options, j *Journal, run Run) error {
	if err := o.setDefaults(); err != nil {
		return err
	}
	u := &undoing{Options: o, journal: j, run: run}
	if j.Phase != Staging {
		if err := u.putBack(ctx); err != nil {
			return err
		}
	}
	return u.clean(ctx)
}

type undoing struct {
	Options
	journal *Journal
	run     Run
}

// putBack exchanges everything once more. The files come first: with them config.php is where it was, and tells
// how to get to the database.
func (u *undoing) putBack(ctx context.Context) error {
	j := u.journal
	closed := u.closedSite()
	before, err := u.close(closed)
	if err != nil {
		return err
	}
	if err := u.takeBackHostConfig(ctx); err != nil {
		return err
	}
	if err := tree.Undo(ctx, j.CodeMoves, func(int) { u.At("code move back") }); err != nil {
		return fmt.Errorf("put the old code back: %w", err)
	}
	if err := tree.Undo(ctx, j.DataMoves, func(int) { u.At("data move back") }); err != nil {
		return fmt.Errorf("put the old data back: %w", err)
	}
	if j.Database != nil {
		if err := u.withServer(ctx, u.exchangeBack); err != nil {
			return fmt.Errorf("put the old database back: %w", err)
		}
	}
	u.At("put back")
	if site := u.findLive(ctx); site != nil {
		if err := empty(ctx, &u.Options, site, u.run); err != nil {
			// The old site is whole; that a cache may be stale must not keep it closed.
			u.Logger.Warn("the old site is back, but its caches may be stale", "err", err)
		}
		closed = site
	}
	if _, err := os.Stat(j.Dataroot); err == nil {
		if err := control.LeaveMaintenance(closed, before); err != nil {
			return err
		}
	}
	j.Phase = Staging // what is left to do is to remove what nobody uses
	return j.save()
}

// closedSite is the site as far as it must be known to close and open it.
func (u *undoing) closedSite() *moodle.Site {
	return &moodle.Site{Name: u.journal.Site, Dir: u.journal.Code, User: u.journal.User, Config: moodle.PHPConfig{DataRoot: u.journal.Dataroot}}
}

// close closes the site if it is not closed already, and says how it was before the restore.
func (u *undoing) close(site *moodle.Site) (control.Before, error) {
	if _, err := os.Stat(u.journal.Dataroot); errors.Is(err, fs.ErrNotExist) {
		return control.WasOpen, nil
	}
	before, ours, err := control.FoundMaintenance(site)
	if err != nil {
		return before, err
	}
	if ours {
		return before, nil
	}
	return control.EnterMaintenance(site, planned(u.Clock()))
}

// withServer logs in to the database server that the journal names.
func (u *undoing) withServer(ctx context.Context, do func(context.Context, *database.Server) error) error {
	d := u.journal.Database
	login := moodle.Login{User: d.User, Network: d.Network, Address: d.Address}
	site := u.findLive(ctx)
	if site == nil {
		site = u.closedSite()
		site.Admin = u.Configured.Database.Admin
	}
	if admin, err := site.AdminLogin(); err == nil && admin.User == d.User {
		login.Password = admin.Password
	} else if own := site.ConfigLogin(); own.User == d.User {
		login.Password = own.Password
	}
	server, err := database.Connect(ctx, login)
	if err != nil {
		return err
	}
	defer server.Close()
	return do(ctx, server)
}

func (u *undoing) exchangeBack(ctx context.Context, server *database.Server) error {
	x, err := u.found(ctx, server)
	if err != nil {
		return err
	}
	side, err := server.Side(ctx, x)
	if err != nil || side == database.SideNone {
		return err
	}
	return server.Undo(ctx, x)
}

func (u *undoing) found(ctx context.Context, server *database.Server) (database.Exchange, error) {
	d := u.journal.Database
	scope, err := server.Scope(ctx, d.DB, d.Prefix, d.Rows)
	return u.journal.exchange(scope, u.Logger), err
}

// findLive is the site in its place, if it can be read.
func (u *undoing) findLive(ctx context.Context) *moodle.Site {
	entry := u.Configured
	entry.Name, entry.Dir, entry.User = u.journal.Site, u.journal.Code, u.journal.User
	finder := &moodle.Finder{Root: u.Root, PoolFiles: u.PoolFiles, Group: -1, Logger: u.Logger}
	found, _ := finder.Find(ctx, []config.Site{entry})
	if len(found) != 1 {
		return nil
	}
	return found[0]
}

// clean removes what the restore has made and nobody uses.
func (u *undoing) clean(ctx context.Context) error {
	j := u.journal
	if j.Database != nil {
		if err := u.withServer(ctx, u.discardSchemas); err != nil {
			return err
		}
	}
	if err := discardAll(ctx, j.Scratch); err != nil {
		return err
	}
	for _, path := range slices.Backward(j.Made) {
		// A directory in which something lies by now was not made in vain.
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTEMPTY) {
			return fmt.Errorf("remove what the restore has made: %w", err)
		}
	}
	return j.remove()
}

// discardSchemas drops what is staged and what was kept. The exchange itself refuses to lose what is needed.
func (u *undoing) discardSchemas(ctx context.Context, server *database.Server) error {
	d, id := u.journal.Database, u.journal.ID
	return errors.Join(
		server.Discard(ctx, database.OldName(d.DB, id), d.Binlog),
		server.Discard(ctx, database.StagedName(d.DB, id), d.Binlog),
		dropTrialAccount(ctx, server.Login, trialUser(id)),
	)
}

func discardAll(ctx context.Context, dirs []string) error {
	for _, path := range dirs {
		if err := tree.Discard(ctx, filepath.Dir(path), filepath.Base(path)); err != nil {
			return err
		}
	}
	return nil
}

// Recover ends a restore that was broken off: it is finished if the restored site was opened and works, else
// undone. The caller holds the site's lock.
func Recover(ctx context.Context, o Options, j *Journal, run Run) (finished bool, err error) {
	if err := o.setDefaults(); err != nil {
		return false, err
	}
	u := &undoing{Options: o, journal: j, run: run}
	if j.Phase == Visiting {
		if err := run.Step(ctx, "finish", u.finish); err == nil {
			return true, nil
		}
		o.Logger.Warn("the restored site does not work, so the restore is undone", "restore", j.ID)
	}
	return false, run.Step(ctx, "undo", func(ctx context.Context) error { return Undo(ctx, o, j, run) })
}

// finish opens the restored site, if it is not open, and looks at it as a visitor does.
func (u *undoing) finish(ctx context.Context) error {
	site := u.findLive(ctx)
	if site == nil {
		return errUnfinished
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
	u.journal.Phase, u.journal.Ended = Open, u.Clock().UTC()
	return u.journal.save()
}
