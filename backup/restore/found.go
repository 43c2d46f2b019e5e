package restore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/moodle-exporter/moodle-exporter/backup/database"
	"github.com/moodle-exporter/moodle-exporter/backup/tree"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/control"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// closedSite is the site as far as it must be known to close and open it.
func (u *undoing) closedSite() *moodle.Site {
	return &moodle.Site{Name: u.journal.Site, Dir: u.journal.Code, User: u.journal.User, Config: moodle.PHPConfig{DataRoot: u.journal.Dataroot}}
}

// close closes the site if it is not closed already, and says how it was before the restore. Where somebody has opened it
// half exchanged, the journal says so from here on: users may have written to what is going to be taken back.
func (u *undoing) close(ctx context.Context, site *moodle.Site) (before control.Before, err error) {
	if _, err := os.Stat(u.journal.Dataroot); errors.Is(err, fs.ErrNotExist) {
		return control.WasOpen, nil
	}
	before, ours, err := control.FoundMaintenance(site)
	if err != nil {
		return before, err
	}
	if !ours {
		if u.journal.Phase == Switching && before == control.WasOpen && !u.journal.Reopened {
			if u.journal.Reopened, err = u.exchanged(ctx); err == nil {
				err = u.journal.save()
			}
			if err != nil {
				return before, err
			}
		}
		if before, err = control.EnterMaintenance(site, planned(u.Clock())); err != nil {
			return before, err
		}
	}
	if live := u.findLive(ctx); live != nil {
		site = live
	}
	if err := quiet(ctx, &u.Options, site, time.Now()); err != nil {
		// The way back must not hang on that: what is worked on is taken away from whoever works on.
		u.Logger.Warn("something may still work on the restored site while it is taken back", "err", err)
	}
	return before, ctx.Err()
}

// exchanged says whether any part of the restored site is in its place.
func (u *undoing) exchanged(ctx context.Context) (bool, error) {
	for _, moves := range [][]tree.Move{u.journal.CodeMoves, u.journal.DataMoves} {
		if state, err := tree.StateOf(moves); err != nil || state != tree.Undone {
			return true, err
		}
	}
	if u.journal.Database == nil {
		return false, nil
	}
	is := database.SideNone
	err := u.withServer(ctx, func(ctx context.Context, server *database.Server) (err error) {
		is, err = server.Side(ctx, u.journal.exchange(database.Scope{}, u.Logger))
		return err
	})
	return is == database.SideNew, err
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
	var refused *mysql.MySQLError
	if errors.As(err, &refused) {
		// It may know another administrator by now. Another server is not asked: it knows nothing of these tables.
		now, second := database.ConnectSite(ctx, site)
		if second != nil {
			return errors.Join(err, second)
		}
		server, err = now, nil
	}
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
	if err != nil {
		return err
	}
	if side == database.SideNone {
		return errTablesLost
	}
	if err := endConnections(ctx, server.Login, x.SiteUser, x.DB, u.Logger); err != nil {
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
