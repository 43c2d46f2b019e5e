package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/moodle-exporter/moodle-exporter/internal/dbserver"
)

// Exchange is one exchange of the tables of a live schema for staged ones.
type Exchange struct {
	DB, ID   string // the live schema; the others are StagedName and OldName
	Scope    Scope
	SiteUser string // the site's own database user: whose connections may be killed
	Binlog   bool   // as it was for Load
	Logger   *slog.Logger
}

func (x Exchange) staged() string { return StagedName(x.DB, x.ID) }

func (x Exchange) old() string { return OldName(x.DB, x.ID) }

// Side says which tables are live.
type Side int

// The sides.
const (
	SideNone Side = iota // no exchange of this id is to be found: nothing staged, or all is discarded
	SideOld              // those from before
	SideNew              // those of the backup
)

// Side finds out where an exchange stands, also after the program or the server was killed. It does not say
// whether triggers, views, routines and events are all there: calling Exchange or Undo again sees to that.
func (s *Server) Side(ctx context.Context, x Exchange) (Side, error) { return side(ctx, s.pool, x) }

func side(ctx context.Context, on querier, x Exchange) (Side, error) {
	for schema, side := range map[string]Side{x.staged(): SideOld, x.old(): SideNew} {
		there, err := hasMarker(ctx, on, schema)
		if err != nil {
			return SideNone, fmt.Errorf("find out which tables of %s are live: %w", x.DB, err)
		}
		if there {
			return side, nil
		}
	}
	return SideNone, nil
}

// errNothingStaged is an exchange for which nothing was loaded.
var errNothingStaged = errors.New("nothing is staged for it: load the dump first")

// Exchange puts the staged tables in the place of the live ones, by one RENAME TABLE that a crash leaves
// done or not done. It may be called again after any interruption, and goes on where it was.
//
// Triggers would make RENAME fail, and views, routines and events belong to their schema: those that are live
// are kept in the marker and dropped before, and those of the dump are made after. The site must be closed.
func (s *Server) Exchange(ctx context.Context, x Exchange) error {
	conn, err := s.conn(ctx, x.Binlog, exchangeSettings...)
	if err != nil {
		return fmt.Errorf("exchange schema %s: %w", x.DB, err)
	}
	defer func() { _ = drop(conn) }()
	e := exchanger{s, conn, x}
	side, err := side(ctx, conn, x)
	if err == nil && side == SideNone {
		err = errNothingStaged
	}
	if err == nil && side == SideOld {
		err = e.forward(ctx)
	}
	if err == nil {
		err = e.finish(ctx)
	}
	if err != nil {
		return fmt.Errorf("exchange schema %s: %w", x.DB, err)
	}
	return nil
}

// exchangeSettings let a statement that waits for a lock give up soon: others wait behind it.
var exchangeSettings = []string{"SET SESSION lock_wait_timeout = 5"}

// exchanger works on one exchange over one connection.
type exchanger struct {
	server *Server
	conn   *sql.Conn
	x      Exchange
}

// forward makes everything ready, and renames.
func (e exchanger) forward(ctx context.Context) error {
	x := e.x
	if err := makeSchema(ctx, e.conn, x.DB, "", ""); err != nil {
		return err
	}
	if err := makeSchema(ctx, e.conn, x.old(), "", ""); err != nil {
		return err
	}
	plan, err := e.plan(ctx)
	if err != nil {
		return err
	}
	if err := e.save(ctx, plan); err != nil {
		return err
	}
	return e.patiently(ctx, func() error {
		if err := dropObjects(ctx, e.conn, x.DB, x.Scope); err != nil {
			return err
		}
		_, err := e.conn.ExecContext(ctx, plan.statement())
		return err
	})
}

// save notes the plan, and once what is live besides tables, before any of it is dropped.
func (e exchanger) save(ctx context.Context, plan moves) error {
	x := e.x
	saved, err := reached(ctx, e.conn, x.staged(), partSaved)
	if err != nil {
		return err
	}
	var objects []Object
	if !saved {
		if objects, err = liveObjects(ctx, e.conn, x.DB, x.Scope); err != nil {
			return err
		}
	}
	transaction, err := e.conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = transaction.Rollback() }() // nothing after Commit
	entries := []entry{{partOut, plan.tables(x.DB)}, {partIn, plan.tables(x.staged())}}
	if !saved {
		for _, o := range objects {
			entries = append(entries, entry{partLive, o})
		}
		charset, err := e.charset(ctx, x.DB)
		if err != nil {
			return err
		}
		entries = append(entries, entry{partCharset, charset}, entry{partSaved, true})
	}
	if err := forget(ctx, transaction, x.staged(), partOut, partIn); err != nil {
		return err
	}
	if err := note(ctx, transaction, x.staged(), entries...); err != nil {
		return err
	}
	return transaction.Commit()
}

// finish makes what the dump holds besides tables, after the rename.
func (e exchanger) finish(ctx context.Context) error {
	x := e.x
	done, err := reached(ctx, e.conn, x.old(), partDone)
	if err != nil || done {
		return err
	}
	objects, err := noted[Object](ctx, e.conn, x.old(), partNew)
	if err != nil {
		return err
	}
	staged, err := e.charset(ctx, x.staged())
	if err == nil {
		err = e.alter(ctx, staged)
	}
	if err != nil {
		return err
	}
	brought, err := noted[[]string](ctx, e.conn, x.old(), partIn)
	if err != nil {
		return err
	}
	objects = slices.DeleteFunc(objects, func(o Object) bool {
		return o.Kind == kindTrigger && !slices.Contains(slices.Concat(brought...), o.Table)
	})
	if err := e.maker().make(ctx, objects); err != nil {
		return err
	}
	return note(ctx, e.conn, x.old(), entry{partDone, true})
}

func (e exchanger) maker() *maker {
	return &maker{conn: e.conn, schema: e.x.DB, siteUser: e.x.SiteUser, log: e.x.Logger}
}

// charset is a schema's default character set and collation; empty for one that is not there.
func (e exchanger) charset(ctx context.Context, schema string) (found [2]string, err error) {
	row := e.conn.QueryRowContext(ctx, "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ?", schema)
	err = row.Scan(&found[0], &found[1])
	if errors.Is(err, sql.ErrNoRows) {
		return found, nil
	}
	return found, err
}

// alter gives the live schema its default character set.
func (e exchanger) alter(ctx context.Context, to [2]string) error {
	now, err := e.charset(ctx, e.x.DB)
	if err != nil || now == to || to[0] == "" || e.x.Scope.Shared() {
		return err
	}
	_, err = e.conn.ExecContext(ctx, "ALTER DATABASE "+dbserver.Quote(e.x.DB)+characterSet(to[0], to[1]))
	return err
}
