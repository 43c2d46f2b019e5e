package moodle

import (
	"context"
	"fmt"
	"sync"

	"github.com/moodle-exporter/moodle-exporter/internal/dbserver"
)

// Events of the standard log: the classes as they stand in lib/classes/event and in the column eventname.
const (
	eventLogin       = `\core\event\user_loggedin`
	eventFailedLogin = `\core\event\user_login_failed`
)

// TaskCounts are runs of tasks since counting began.
type TaskCounts struct {
	Runs, Failures, Seconds float64
}

// Kinds of tasks, by the column type of task_log (\core\task\database_logger).
var taskKinds = []string{"scheduled", "adhoc"}

// logs are the tables that are counted from their end, and what is counted in each.
var logs = map[string]walk{
	"logstore_standard_log": {
		table: "logstore_standard_log", columns: "id, eventname",
		sums: []string{"eventname = ?", "eventname = ?"}, values: []any{eventLogin, eventFailedLogin},
	},
	"task_log": {
		table: "task_log", columns: "id, type, result, timestart, timeend",
		sums: []string{
			"type = 0", "type = 0 AND result <> 0", "IF(type = 0, GREATEST(timeend - timestart, 0), 0)",
			"type = 1", "type = 1 AND result <> 0", "IF(type = 1, GREATEST(timeend - timestart, 0), 0)",
		},
	},
}

// LogCounter counts what is added to the logs in the databases of sites. Moodle prunes these tables, so that a count of
// their rows would go down; new ids alone only go up. Counting begins with 0 when a site is first seen.
type LogCounter struct {
	mu    sync.Mutex
	tails map[logTable]*tail
}

type logTable struct{ server, schema, table string }

// tail is how far a table has been counted.
type tail struct {
	seen int64
	sums []float64
}

// NewLogCounter returns a counter that has seen nothing yet.
func NewLogCounter() *LogCounter { return &LogCounter{tails: make(map[logTable]*tail)} }

// count goes on to the row with the id end and returns the sums since counting began, the number of rows first. What
// was counted before an error is kept, and the next call goes on from there.
func (c *LogCounter) count(ctx context.Context, db *dbserver.Connection, site *Site, table string, end int64) ([]float64, error) {
	t := c.tail(site, table, end)
	w := logs[table]
	// A table that ends before the place we had come to was emptied, or the database replaced: what it holds is not new.
	t.seen = min(t.seen, end)
	if w.upTo = end; end > t.seen {
		err := w.over(ctx, db, site, t.seen, func(last int64, sums []float64) {
			for i, sum := range sums {
				t.sums[i] += sum
			}
			t.seen = last
		})
		if err != nil {
			return nil, fmt.Errorf("count new rows of %s of site %s: %w", table, site.Name, err)
		}
	}
	return append([]float64{}, t.sums...), nil
}

func (c *LogCounter) tail(site *Site, table string, end int64) *tail {
	c.mu.Lock()
	defer c.mu.Unlock()
	key := logTable{site.Config.Server(), site.Config.DBName, site.Table(table)}
	if c.tails[key] == nil {
		c.tails[key] = &tail{seen: end, sums: make([]float64, 1+len(logs[table].sums))}
	}
	return c.tails[key]
}
