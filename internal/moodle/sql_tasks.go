package moodle

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// overdueAfter is how late a scheduled task may be: cron starts them in turn, so some minutes are normal.
const overdueAfter = 10 * time.Minute

// Tasks is the state of a site's scheduled and ad hoc tasks. Times are zero where there is no such task.
type Tasks struct {
	Failing []FailingTask // worst first
	Overdue int           // scheduled tasks that should have started more than ten minutes ago

	Running      int
	LongestStart time.Time // when the longest running one started

	OldestDue time.Time // when the first ad hoc task that is due and waits should have started
	Counted   bool      // whether the ad hoc tasks could be counted: Failing and Queued are complete
	Queued    int       // ad hoc tasks that are due and wait, but for those that Moodle has given up
}

// FailingTask is a task whose last run failed and that Moodle will try again.
type FailingTask struct {
	Class string
	Count int           // 1 for a scheduled task; all failing ad hoc tasks of the class
	Delay time.Duration // until the next try; doubles from a minute to a day
}

// TaskReader reads tasks. It remembers which columns a site's version has, which the database is asked once,
// and spares a database whose queue has grown so long that counting it takes time.
type TaskReader struct {
	clock func() time.Time

	mu       sync.Mutex
	attempts map[tableVersion]bool
	counts   map[tableVersion]count
}

type tableVersion struct{ server, schema, table, version string }

// NewTaskReader returns a reader that remembers nothing yet.
func NewTaskReader(clock func() time.Time) *TaskReader {
	return &TaskReader{clock: clock, attempts: make(map[tableVersion]bool), counts: make(map[tableVersion]count)}
}

// Read reads the tasks of site as they stand at now. version is the version of the installed database. With an
// error the tasks are nil, or not Counted where all the rest could be read.
// The tables are as in lib/db/install.xml of Moodle 3.11 to 5.1.
func (r *TaskReader) Read(ctx context.Context, conn *sql.Conn, site *Site, version string, now time.Time) (*Tasks, error) {
	key := tableVersion{site.Config.Server(), site.Config.DBName, site.Table("task_adhoc"), version}
	attempts, err := r.hasAttempts(ctx, conn, key)
	if err != nil {
		return nil, fmt.Errorf("read columns of site %s: %w", site.Name, err)
	}
	tasks := &Tasks{}
	if err := tasks.readScheduled(ctx, conn, site, now); err != nil {
		return nil, fmt.Errorf("read scheduled tasks of site %s: %w", site.Name, err)
	}
	alive := ""
	if attempts {
		alive = " AND (attemptsavailable IS NULL OR attemptsavailable > 0)" // NULL: tried for ever
	}
	if err := tasks.readAdhoc(ctx, conn, site, alive, now); err != nil {
		return nil, fmt.Errorf("read ad hoc tasks of site %s: %w", site.Name, err)
	}
	queue, err := r.count(key, func() (queue, error) { return readQueue(ctx, conn, site, alive, now) })
	if err != nil {
		return tasks, fmt.Errorf("count ad hoc tasks of site %s: %w", site.Name, err)
	}
	tasks.Counted, tasks.Queued = true, queue.due
	for _, task := range queue.failing {
		tasks.fail(task)
	}
	return tasks, nil
}

// hasAttempts says whether ad hoc tasks can be given up: they carry attemptsavailable since Moodle 4.4.
func (r *TaskReader) hasAttempts(ctx context.Context, conn *sql.Conn, key tableVersion) (bool, error) {
	r.mu.Lock()
	has, known := r.attempts[key]
	r.mu.Unlock()
	if known {
		return has, nil
	}
	row := conn.QueryRowContext(ctx, "SELECT COUNT(*) > 0 FROM information_schema.COLUMNS"+
		" WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ? AND COLUMN_NAME = 'attemptsavailable'", key.schema, key.table)
	if err := row.Scan(&has); err != nil {
		return false, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.attempts[key] = has
	return has, nil
}

// readScheduled reads a table of some hundred rows. A task of a plugin that is switched off stays due for
// ever, as cron passes it over: only what has run before can be overdue.
func (t *Tasks) readScheduled(ctx context.Context, conn *sql.Conn, site *Site, now time.Time) error {
	rows, err := conn.QueryContext(ctx, "SELECT classname, disabled = 0 AND COALESCE(faildelay, 0) > 0, COALESCE(faildelay, 0),"+
		" disabled = 0 AND timestarted IS NULL AND lastruntime > 0 AND nextruntime < ?, COALESCE(timestarted, 0)"+
		" FROM "+site.quoted("task_scheduled"), now.Add(-overdueAfter).Unix())
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var class string
		var failing, overdue sql.NullBool
		var delay, started int64
		if err := rows.Scan(&class, &failing, &delay, &overdue, &started); err != nil {
			return err
		}
		if failing.Bool {
			t.fail(FailingTask{Class: class, Count: 1, Delay: time.Duration(delay) * time.Second})
		}
		if overdue.Bool {
			t.Overdue++
		}
		if started > 0 {
			t.run(1, started)
		}
	}
	return rows.Err()
}

// readAdhoc reads what the indexes on timestarted (since 4.1) and nextruntime tell at any length of the queue.
func (t *Tasks) readAdhoc(ctx context.Context, conn *sql.Conn, site *Site, alive string, now time.Time) error {
	var count int
	var first sql.NullInt64
	err := conn.QueryRowContext(ctx, "SELECT COUNT(*), MIN(timestarted) FROM "+site.quoted("task_adhoc")+
		" WHERE timestarted > 0").Scan(&count, &first)
	if err != nil {
		return err
	}
	if count > 0 {
		t.run(count, first.Int64)
	}
	err = conn.QueryRowContext(ctx, "SELECT nextruntime FROM "+site.quoted("task_adhoc")+
		" WHERE nextruntime <= ? AND timestarted IS NULL"+alive+" ORDER BY nextruntime LIMIT 1", now.Unix()).Scan(&first)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	t.OldestDue = time.Unix(first.Int64, 0)
	return err
}

// fail adds a failing task in its place, and joins classes that are both scheduled and ad hoc.
func (t *Tasks) fail(task FailingTask) {
	if i := slices.IndexFunc(t.Failing, func(other FailingTask) bool { return other.Class == task.Class }); i >= 0 {
		task.Count += t.Failing[i].Count
		task.Delay = max(task.Delay, t.Failing[i].Delay)
		t.Failing = slices.Delete(t.Failing, i, i+1)
	}
	at, _ := slices.BinarySearchFunc(t.Failing, task, func(a, b FailingTask) int {
		return cmp.Or(cmp.Compare(b.Delay, a.Delay), cmp.Compare(a.Class, b.Class))
	})
	t.Failing = slices.Insert(t.Failing, at, task)
}

// run adds count running tasks, the first of which started at the Unix time first.
func (t *Tasks) run(count int, first int64) {
	t.Running += count
	if start := time.Unix(first, 0); t.LongestStart.IsZero() || start.Before(t.LongestStart) {
		t.LongestStart = start
	}
}
