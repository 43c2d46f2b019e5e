package database

import (
	"context"
	"database/sql"
	"sync/atomic"
)

// bulky is the length of a first INSERT from which on a table is loaded without its secondary indexes, which
// are built from sorted rows afterwards. The dump programs fill statements up to 1 MB.
const bulky = 256 << 10

// table is one that is being loaded. Its statements run on any connection: the first makes the table, all
// others wait for that, and the last one done finishes it.
type table struct {
	schema, name string
	ready        chan struct{} // closed when rows may come
	open         atomic.Int64  // tasks not yet done, and one for the reader
	indexes      indexes
	begun        bool // rows have been read; of the reader alone
}

func newTable(schema, name string) *table {
	t := &table{schema: schema, name: name, ready: make(chan struct{})}
	t.open.Store(1)
	return t
}

// create makes the table, and lets rows in once that is done.
func (t *table) create(c *crew, text string) error {
	ready := t.ready // as it is now: what rows wait for may change before the task runs
	return t.task(c, len(text), func(ctx context.Context, conn *sql.Conn) error {
		if _, err := conn.ExecContext(ctx, text); err != nil {
			return loadError("create", t.name, err)
		}
		close(ready)
		return nil
	})
}

// insert adds the rows of one statement.
func (t *table) insert(c *crew, text string) error {
	if !t.begun {
		t.begun = true
		if len(text) >= bulky {
			if err := t.withoutIndexes(c); err != nil {
				return err
			}
		}
	}
	ready := t.ready
	return t.task(c, len(text), func(ctx context.Context, conn *sql.Conn) error {
		if err := await(ctx, ready); err != nil {
			return err
		}
		if _, err := conn.ExecContext(ctx, text); err != nil {
			return loadError("insert into", t.name, err)
		}
		return nil
	})
}

// withoutIndexes takes the indexes off the empty table. Rows wait for that.
func (t *table) withoutIndexes(c *crew) error {
	made, ready := t.ready, make(chan struct{})
	t.ready = ready
	return t.task(c, 0, func(ctx context.Context, conn *sql.Conn) error {
		if err := await(ctx, made); err != nil {
			return err
		}
		if err := t.indexes.take(ctx, conn, t.schema, t.name); err != nil {
			return loadError("prepare", t.name, err)
		}
		close(ready)
		return nil
	})
}

// task runs something for the table, and finishes it if nothing else is left to do.
func (t *table) task(c *crew, bytes int, run func(context.Context, *sql.Conn) error) error {
	t.open.Add(1)
	return c.do(bytes, func(ctx context.Context, conn *sql.Conn) error {
		if err := run(ctx, conn); err != nil {
			return err
		}
		return t.leave(ctx, conn)
	})
}

// end says that no more rows will come; on nil it does nothing. Whatever went wrong comes to light with crew.wait.
func (t *table) end(c *crew) {
	if t != nil {
		_ = c.do(0, t.leave)
	}
}

func (t *table) leave(ctx context.Context, conn *sql.Conn) error {
	if t.open.Add(-1) > 0 {
		return nil
	}
	if err := t.indexes.give(ctx, conn, t.schema, t.name); err != nil {
		return loadError("build the indexes of", t.name, err)
	}
	return nil
}

func await(ctx context.Context, ready <-chan struct{}) error {
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
