package update

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/backup/database"
	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/internal/control"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// databaseWaitPoll is how often a server that is down is tried.
const databaseWaitPoll = time.Second

// waitForDatabase tries something again for a while: a server that was stopped or has crashed is usually started again.
func (w *wayBack) waitForDatabase(ctx context.Context, do func() error) error {
	deadline := time.Now().Add(w.DatabaseWait)
	for {
		err := do()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(databaseWaitPoll):
		}
	}
}

// databaseBack loads the dump beside the tables that the upgrade has touched, and exchanges the two.
func (w *wayBack) databaseBack(ctx context.Context, site *moodle.Site) error {
	if w.journal.Database != nil && w.journal.Database.Done {
		return nil
	}
	var server *database.Server
	err := w.waitForDatabase(ctx, func() (err error) {
		server, err = database.ConnectSite(ctx, site)
		return err
	})
	if err != nil {
		return err
	}
	defer server.Close()
	reader, err := w.dump(ctx)
	if err != nil {
		return err
	}
	if err := w.load(ctx, site, server, reader); err != nil {
		return err
	}
	w.At("dump loaded")
	d := w.journal.Database
	scope, err := server.Scope(ctx, d.DB, d.Prefix, d.Rows)
	if err != nil {
		return err
	}
	x := database.Exchange{DB: d.DB, ID: w.journal.ID, Scope: scope, SiteUser: d.SiteUser, Binlog: w.journal.Binlog, Logger: w.Logger}
	// Loaded, and yet nothing to be found: the exchange is done, and what was put aside dropped.
	side, err := server.Side(ctx, x)
	if err == nil && side != database.SideNone {
		err = server.Exchange(ctx, x)
	}
	if err != nil {
		return err
	}
	w.At("tables exchanged")
	return w.settle(ctx, server)
}

// dump finds the backup that was made when the site had just been closed.
func (w *wayBack) dump(ctx context.Context) (*backup.Reader, error) {
	listed, err := backup.Show(ctx, w.Backup.Dir, w.journal.Site, w.journal.Dump)
	if err == nil {
		err = listed.Problem
	}
	if err != nil {
		return nil, fmt.Errorf("find the dump of before the update, backup %s: %w", w.journal.Dump, err)
	}
	return backup.NewReader(store.NewDirectory(backup.SiteDir(w.Backup.Dir, w.journal.Site)), listed.Manifest), nil
}

// load brings the dump into a schema of its own, with the flags of an open site, unless that is done already.
func (w *wayBack) load(ctx context.Context, site *moodle.Site, server *database.Server, reader *backup.Reader) error {
	m, j := reader.Manifest.Database, w.journal
	if j.Database != nil && j.Database.Loaded {
		return nil
	}
	if j.Database == nil {
		j.Database = &journaled{DB: site.Config.DBName, Prefix: site.Config.Prefix, Rows: m.Rows, SiteUser: site.Config.DBUser}
		if err := j.save(); err != nil {
			return err
		}
	}
	d := j.Database
	// What a way back that was broken off has loaded is worth nothing: nobody has counted it.
	if err := server.Discard(ctx, j.staged(), w.journal.Binlog); err != nil {
		return err
	}
	scope, err := server.Scope(ctx, d.DB, d.Prefix, m.Rows)
	if err != nil {
		return err
	}
	file, err := reader.Open(ctx, backup.FileOf(backup.Database))
	if err != nil {
		return err
	}
	defer file.Close()
	err = server.Load(ctx, file, database.LoadOptions{
		Schema: j.staged(), Source: m.Name, Live: d.DB, Charset: m.Charset, Collation: m.Collation, Scope: scope, Binlog: w.journal.Binlog,
		Progress: w.run.Add, Logger: w.Logger,
	})
	if err == nil {
		err = copyWith(ctx, nowhere{}, file) // to its end, where it is proven
	}
	if err != nil {
		return err
	}
	if err := w.count(ctx, server, scope, m); err != nil {
		return err
	}
	if err := w.resetFlags(ctx, site, server); err != nil {
		return err
	}
	d.Loaded = true
	return j.save()
}

// count compares what was loaded with what was counted when the dump was made.
func (w *wayBack) count(ctx context.Context, server *database.Server, scope database.Scope, m *backup.DatabaseContent) error {
	found, err := server.Count(ctx, w.journal.staged(), scope, database.Content{Rows: m.Rows, Views: m.Views, Triggers: m.Triggers, Routines: m.Routines, Events: m.Events})
	if err == nil && len(found) > 0 {
		err = fmt.Errorf("the database that was loaded is not the one that was dumped: %d things differ, first %v", len(found), found[0])
	}
	return err
}

// resetFlags takes back what belonged to the moment of the dump, when cron was off and the site closed.
func (w *wayBack) resetFlags(ctx context.Context, site *moodle.Site, server *database.Server) error {
	staged := *site
	staged.Config.DBName = w.journal.staged()
	return askAs(server.Login, func(db *sql.DB) error {
		if _, err := control.ResetFlags(ctx, db, &staged, control.Flags{}); err != nil {
			return err
		}
		if w.journal.CronOn {
			return nil
		}
		_, err := db.ExecContext(ctx, "UPDATE "+table(&staged, "config")+" SET value = '0' WHERE name = 'cron_enabled'") //nolint:gosec // its name is quoted
		return err
	})
}

// settle keeps the tables of the updated site if somebody has been in it, and drops them if nobody was.
func (w *wayBack) settle(ctx context.Context, server *database.Server) error {
	d := w.journal.Database
	if w.journal.Phase == Visiting || w.journal.Reopened {
		d.Kept = w.journal.old()
	} else if err := server.Discard(ctx, w.journal.old(), w.journal.Binlog); err != nil {
		w.Logger.Warn("the half upgraded tables were not dropped; they only take room", "schema", w.journal.old(), "err", err)
	}
	if err := server.Discard(ctx, w.journal.staged(), w.journal.Binlog); err != nil {
		w.Logger.Warn("an empty schema was not dropped", "schema", w.journal.staged(), "err", err)
	}
	d.Done = true
	return w.journal.save()
}
