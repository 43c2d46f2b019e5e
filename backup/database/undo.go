package database

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/dbserver"
)

// attempts to get all locks of an exchange. Each waits for lock_wait_timeout, so that the site stays closed
// for at most some 15 seconds for nothing.
const attempts = 3

// patiently runs something that needs locks on all tables. Where it does not get them in time, the site's
// connections are ended and it is tried again.
func (e exchanger) patiently(ctx context.Context, run func() error) error {
	for left := attempts - 1; ; left-- {
		err := run()
		if err == nil || !hasNumber(err, errorLockWait, errorDeadlock) {
			return err
		}
		if left == 0 {
			return fmt.Errorf("%w; these connections may hold the locks, end them and try again: %s", err, e.holders(ctx))
		}
		if err := e.killSite(ctx); err != nil {
			return err
		}
	}
}

// killSite ends the connections of the site's own account to the live schema.
func (e exchanger) killSite(ctx context.Context) error {
	ids, err := column(ctx, e.conn, "SELECT ID FROM information_schema.PROCESSLIST WHERE USER = ? AND DB = ? AND ID <> CONNECTION_ID()", e.x.SiteUser, e.x.DB)
	if err != nil {
		return fmt.Errorf("list the site's connections: %w", err)
	}
	for _, id := range ids {
		if _, err := e.conn.ExecContext(ctx, "KILL "+id); err != nil && !hasNumber(err, errorNoSuchThread) {
			return fmt.Errorf("end a connection of the site: %w", err)
		}
	}
	e.x.Logger.Warn("tables were locked: ended the connections of the site's account to its schema", "connections", len(ids), "schema", e.x.DB)
	return nil
}

// holders names the connections that might be in the way.
func (e exchanger) holders(ctx context.Context) string {
	found, err := column(ctx, e.conn, "SELECT CONCAT('connection ', ID, ' of ', USER, ' (', COMMAND, ' for ', COALESCE(TIME, 0), ' s)')"+
		" FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() AND COMMAND NOT IN ('Daemon', 'Binlog Dump') ORDER BY TIME DESC LIMIT 10")
	if err != nil || len(found) == 0 {
		return "none that this account may see"
	}
	return fmt.Sprint(found)
}

// Undo puts the old tables back by the same RENAME, with the triggers, views, routines and events that were
// live before. What was live since then lies in the staged schema afterwards. It may be called at any time and again
// after any interruption; where no exchange is to be found it does nothing.
func (s *Server) Undo(ctx context.Context, x Exchange) error {
	conn, err := s.conn(ctx, x.Binlog, exchangeSettings...)
	if err != nil {
		return fmt.Errorf("undo the exchange of schema %s: %w", x.DB, err)
	}
	defer func() { _ = drop(conn) }()
	e := exchanger{s, conn, x}
	side, err := side(ctx, conn, x)
	if err == nil && side == SideNew {
		err = e.back(ctx)
	}
	if err == nil && side != SideNone {
		err = e.revive(ctx)
	}
	if err != nil {
		return fmt.Errorf("undo the exchange of schema %s: %w", x.DB, err)
	}
	return nil
}

// back renames the other way round.
func (e exchanger) back(ctx context.Context) error {
	x := e.x
	if err := makeSchema(ctx, e.conn, x.staged(), "", ""); err != nil {
		return err
	}
	if err := forget(ctx, e.conn, x.old(), partDone); err != nil {
		return err
	}
	plan, err := e.planBack(ctx)
	if err != nil {
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

// planBack moves out what the exchange brought and what the site has made since, and in what it moved out.
func (e exchanger) planBack(ctx context.Context) (moves, error) {
	x := e.x
	brought, err := noted[[]string](ctx, e.conn, x.old(), partIn)
	if err != nil {
		return nil, err
	}
	live, err := tablesOf(ctx, e.conn, x.DB)
	if err != nil {
		return nil, err
	}
	old, err := tablesOf(ctx, e.conn, x.old())
	if err != nil {
		return nil, err
	}
	var plan moves
	for _, table := range live {
		if x.Scope.site(table) || slices.Contains(slices.Concat(brought...), table) {
			plan = append(plan, move{table, x.DB, x.staged()})
		}
	}
	out := plan.tables(x.DB)
	for _, table := range old {
		plan = append(plan, move{table, x.old(), x.DB})
	}
	return append(plan, move{marker, x.old(), x.staged()}), e.crossing(ctx, out)
}

// revive makes again what was live besides tables, if it was dropped.
func (e exchanger) revive(ctx context.Context) error {
	x := e.x
	saved, err := reached(ctx, e.conn, x.staged(), partSaved)
	if err != nil || !saved {
		return err
	}
	objects, err := noted[Object](ctx, e.conn, x.staged(), partLive)
	if err != nil {
		return err
	}
	charsets, err := noted[[2]string](ctx, e.conn, x.staged(), partCharset)
	if err != nil {
		return err
	}
	for _, charset := range charsets {
		if err := e.alter(ctx, charset); err != nil {
			return err
		}
	}
	if err := e.maker().make(ctx, objects); err != nil {
		return err
	}
	return forget(ctx, e.conn, x.staged(), partSaved, partLive, partCharset, partIn, partOut)
}

// discardTime bounds what discarding waits for a lock.
const discardTime = 30 * time.Second

// Discard drops a staged or old schema, and nothing else. It refuses one that an unfinished exchange needs:
// Exchange or Undo must be called again first. A schema that is not there is no error.
func (s *Server) Discard(ctx context.Context, schema string, binlog bool) error {
	if err := onlyScratch(schema); err != nil {
		return err
	}
	there, err := hasMarker(ctx, s.pool, schema)
	if err != nil {
		return fmt.Errorf("discard schema %s: %w", schema, err)
	}
	if there {
		done, err := reached(ctx, s.pool, schema, partDone)
		if err != nil {
			return fmt.Errorf("discard schema %s: %w", schema, err)
		}
		saved, err := reached(ctx, s.pool, schema, partSaved)
		if err != nil {
			return fmt.Errorf("discard schema %s: %w", schema, err)
		}
		if saved && !done {
			return fmt.Errorf("discard schema %s: refused: an exchange that was interrupted needs it; finish or undo that first", schema)
		}
	}
	return s.dropSchema(ctx, schema, binlog)
}

func (s *Server) dropSchema(ctx context.Context, schema string, binlog bool) error {
	if err := onlyScratch(schema); err != nil {
		return err
	}
	conn, err := s.conn(ctx, binlog, fmt.Sprintf("SET SESSION lock_wait_timeout = %d, foreign_key_checks = 0", int(discardTime.Seconds())))
	if err != nil {
		return fmt.Errorf("drop schema %s: %w", schema, err)
	}
	defer func() { _ = drop(conn) }()
	if _, err := conn.ExecContext(ctx, "DROP DATABASE IF EXISTS "+dbserver.Quote(schema)); err != nil {
		return fmt.Errorf("drop schema %s: %w", schema, err)
	}
	return nil
}

// Leftovers are the staged and old schemas of db that exist.
func (s *Server) Leftovers(ctx context.Context, db string) ([]string, error) {
	all, err := column(ctx, s.pool, "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA ORDER BY SCHEMA_NAME")
	if err != nil {
		return nil, fmt.Errorf("list schemas: %w", err)
	}
	return slices.DeleteFunc(all, func(name string) bool { return !scratchOf(name, db) }), nil
}
