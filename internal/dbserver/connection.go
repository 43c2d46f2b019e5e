// Package dbserver reads the state of a MariaDB or MySQL server over one connection that is kept, so that
// watching a server in trouble does not add to the trouble.
package dbserver

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-sql-driver/mysql"
)

// CallLimit bounds one use of a connection by a caller that has no shorter deadline.
const CallLimit = 10 * time.Second

// Connection is one kept connection to a server under one account. It is opened when it is first used and
// again after it broke; callers use it one after the other.
type Connection struct {
	pool *sql.DB
	gate chan struct{} // holds a token while the connection is in use

	failures atomic.Int64
	failure  error // why the last attempt to connect failed; guarded by gate
}

// NewConnection returns a connection that asks login for its address and account each time it opens.
func NewConnection(login func() (*mysql.Config, error)) *Connection {
	pool := sql.OpenDB(connector{login})
	pool.SetMaxOpenConns(1)
	pool.SetMaxIdleConns(1)
	return &Connection{pool: pool, gate: make(chan struct{}, 1)}
}

// Use waits for the connection, opens it if need be, and hands it to read. All of that ends with ctx, and
// after CallLimit at the latest. Who waited while another caller failed to connect gets that failure, so
// that a refused login is tried once for all who asked at the same time.
func (c *Connection) Use(ctx context.Context, read func(context.Context, *sql.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, CallLimit)
	defer cancel()
	seen := c.failures.Load()
	select {
	case c.gate <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("wait for the database connection, which is busy: %w", ctx.Err())
	}
	defer func() { <-c.gate }()
	if c.failures.Load() != seen {
		return c.failure
	}
	conn, err := c.pool.Conn(ctx)
	if err != nil {
		if ctx.Err() == nil { // a caller that ran out of time says nothing about the others' time
			c.failure = err
			c.failures.Add(1)
		}
		return err
	}
	defer func() { _ = conn.Close() }() // gives it back; a broken one is closed
	return read(ctx, conn)
}

// Close ends the connection; later uses fail.
func (c *Connection) Close() error { return c.pool.Close() }

// Quote makes an identifier of any name, so that a hostile schema name or table prefix stays a name.
func Quote(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }
