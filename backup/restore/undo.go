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
	"github.com/moodle-exporter/moodle-exporter/internal/control"
)

// Undo puts back what was there before a restore, and removes what it has made. It finds out by itself how
// far the restore came, may be broken off at any point, and then be called again. The caller holds the site's lock.
func Undo(ctx context.Context, o Options, j *Journal, run Run) error {
	if err := o.setDefaults(); err != nil {
		return err
	}
	u := &undoing{Options: o, journal: j, run: run}
	lost := false
	if j.Phase != Staging {
		err := u.putBack(ctx)
		if lost = errors.Is(err, errTablesLost); err != nil && !lost {
			return err
		}
	}
	if j.Phase == Undone {
		return nil
	}
	if err := u.clean(ctx); err != nil {
		return err
	}
	if lost {
		return &LostError{Site: j.Site}
	}
	return nil
}

// LostError is an undo that found neither the tables from before the restore nor those of the backup: the database server
// has lost them. All else is as it was, and the site is left closed.
type LostError struct{ Site string }

func (e *LostError) Error() string {
	return fmt.Sprintf("the database server has neither the tables from before the restore nor those that it loaded: it, or its data, was replaced meanwhile.\n"+
		"The files of site %s are as they were before; it is in maintenance mode.\nRestore it from a backup: `moodle-exporter restore --site=%[1]s`", e.Site)
}

var errTablesLost = errors.New("the tables are not to be found")

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
	before, err := u.close(ctx, closed)
	if err != nil {
		return err
	}
	if err := tree.Undo(ctx, j.CodeMoves, func(int) { u.At("code move back") }); err != nil {
		return fmt.Errorf("put the old code back: %w", err)
	}
	if err := tree.Undo(ctx, j.DataMoves, func(int) { u.At("data move back") }); err != nil {
		return fmt.Errorf("put the old data back: %w", err)
	}
	if j.Database != nil {
		err := u.withServer(ctx, u.exchangeBack)
		if errors.Is(err, errTablesLost) {
			return u.enter(Staging, err)
		}
		if err != nil {
			return fmt.Errorf("put the old database back: %w", err)
		}
	}
	if err := u.takeBackHostConfig(ctx); err != nil {
		return err
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
	if j.Reopened {
		j.Ended = u.Clock().UTC()
		u.Logger.Warn("the site had been opened in the middle of the restore: what was written there since is kept until `moodle-exporter restore --discard`", "site", j.Site)
		return u.enter(Undone, nil)
	}
	return u.enter(Staging, nil) // what is left to do is to remove what nobody uses
}

// enter writes down what is left to do.
func (u *undoing) enter(phase Phase, err error) error {
	u.journal.Phase = phase
	return errors.Join(err, u.journal.save())
}

// clean removes what the restore has made and nobody uses.
func (u *undoing) clean(ctx context.Context) error {
	j := u.journal
	if err := u.takeBackHostConfig(ctx); err != nil {
		return err
	}
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
