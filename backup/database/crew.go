package database

import (
	"context"
	"database/sql"
	"fmt"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"github.com/moodle-exporter/moodle-exporter/internal/dbserver"
)

// ahead is how many bytes of statements may wait for a connection. A statement that is larger waits alone.
const ahead = 8 << 20

// crew are the connections that load, each with a goroutine that takes the next task.
type crew struct {
	ctx    context.Context //nolint:containedctx // of one load, whose end it is
	group  *errgroup.Group
	tasks  chan task
	budget *semaphore.Weighted
	server *Server
	ids    []int64 // of the connections
}

// task is some work for one connection.
type task struct {
	weight int64
	run    func(ctx context.Context, conn *sql.Conn) error
}

// loadSettings make loading fast and independent of the server's settings. All of them are those of the dump
// programs, but innodb_strict_mode: a table that was once allowed must be let in again.
var loadSettings = []string{
	"SET SESSION sql_mode = '" + dumpMode + "'", "SET SESSION time_zone = '+00:00'",
	"SET SESSION unique_checks = 0, foreign_key_checks = 0", "SET SESSION innodb_strict_mode = 0",
}

func (s *Server) newCrew(ctx context.Context, o LoadOptions) (*crew, error) {
	c := &crew{tasks: make(chan task, 1024), budget: semaphore.NewWeighted(ahead), server: s}
	c.group, c.ctx = errgroup.WithContext(ctx)
	settings := append([]string{"USE " + dbserver.Quote(o.Schema)}, loadSettings...)
	for range o.Workers {
		conn, err := s.conn(c.ctx, o.Binlog, settings...)
		if err != nil {
			return nil, c.wait(err)
		}
		var id int64
		if err := conn.QueryRowContext(c.ctx, "SELECT CONNECTION_ID()").Scan(&id); err != nil {
			_ = drop(conn)
			return nil, c.wait(err)
		}
		c.ids = append(c.ids, id)
		c.group.Go(func() error {
			defer func() { _ = drop(conn) }()
			return c.work(conn)
		})
	}
	return c, nil
}

// work runs tasks until there are no more, or until one fails anywhere.
func (c *crew) work(conn *sql.Conn) (err error) {
	for t := range c.tasks {
		if err = c.ctx.Err(); err == nil {
			err = t.run(c.ctx, conn)
		}
		c.budget.Release(t.weight)
		if err != nil {
			return err
		}
	}
	return nil
}

// do hands a task of so many bytes to the next free connection.
func (c *crew) do(bytes int, run func(context.Context, *sql.Conn) error) error {
	weight := int64(min(max(bytes, 1), ahead))
	if err := c.budget.Acquire(c.ctx, weight); err != nil {
		return err
	}
	select {
	case c.tasks <- task{weight, run}:
		return nil
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
}

// idle waits until all that was handed out is done: every task holds a part of the budget.
func (c *crew) idle() error {
	if err := c.budget.Acquire(c.ctx, ahead); err != nil {
		return err
	}
	c.budget.Release(ahead)
	return nil
}

// wait ends the work: at once after an error, else when all of it is done. The first failure counts.
func (c *crew) wait(failed error) error {
	if failed != nil && c.ctx.Err() == nil {
		c.group.Go(func() error { return failed })
	}
	close(c.tasks)
	err := c.group.Wait()
	if err == nil {
		err = failed
	}
	if err != nil {
		c.kill()
	}
	return err
}

// kill ends what the connections had begun: the server would go on with it after we have hung up, and keep
// the schema from being dropped.
func (c *crew) kill() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), dialTimeout)
	defer cancel()
	for _, id := range c.ids {
		_, _ = c.server.pool.ExecContext(ctx, fmt.Sprintf("KILL %d", id)) // most of them are gone already
	}
}
