package moodle

import (
	"cmp"
	"context"
	"database/sql"
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

	Queued    int       // ad hoc tasks that are due and wait, but for those that Moodle has given up
	OldestDue time.Time // when the first of them should have started
}

// FailingTask is a task whose last run failed and that Moodle will try again.
type FailingTask struct {
	Class string
	Count int           // 1 for a scheduled task; all failing ad hoc tasks of the class
	Delay time.Duration // until the next try; doubles from a minute to a day
}

// TaskReader reads tasks. It remembers which columns a site's version has, which the database is asked once.
type TaskReader struct {
	mu       sync.Mutex
	attempts map[tableVersion]bool
}

type tableVersion struct{ server, schema, table, version string }

// Read reads the tasks of site as they stand at now. version is the version of the installed database.
// The tables are as in lib/db/install.xml of Moodle 3.11 to 5.1.
func (r *TaskReader) Read(ctx context.Context, conn *sql.Conn, site *Site, version string, now time.Time) (Tasks, error) {
	attempts, err := r.hasAttempts(ctx, conn, site, version)
	if err != nil {
		return Tasks{}, fmt.Errorf("read columns of site %s: %w", site.Name, err)
	}
	var tasks Tasks
	if err := tasks.readScheduled(ctx, conn, site, now); err != nil {
		return Tasks{}, fmt.Errorf("read scheduled tasks of site %s: %w", site.Name, err)
	}
	if err := tasks.readAdhoc(ctx, conn, site, attempts, now); err != nil {
		return Tasks{}, fmt.Errorf("read ad hoc tasks of site %s: %w", site.Name, err)
	}
	return tasks, nil
}

// hasAttempts says whether ad hoc tasks can be given up: they carry attemptsavailable since Moodle 4.4.
func (r *TaskReader) hasAttempts(ctx context.Context, conn *sql.Conn, site *Site, version string) (bool, error) {
	key := tableVersion{site.Config.Server(), site.Config.DBName, site.Table("task_adhoc"), version}
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
	if r.attempts == nil {
		r.attempts = make(map[tableVersion]bool)
	}
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

// readAdhoc reads the queue, which may be long: by the indexes on nextruntime and timestarted (the latter
// since 4.1), and once through for the failing ones.
func (t *Tasks) readAdhoc(ctx context.Context, conn *sql.Conn, site *Site, attempts bool, now time.Time) error {
	table, alive := site.quoted("task_adhoc"), ""
	if attempts {
		alive = " AND (attemptsavailable IS NULL OR attemptsavailable > 0)" // NULL: tried for ever
	}
	var count int
	var first sql.NullInt64
	err := conn.QueryRowContext(ctx, "SELECT COUNT(*), MIN(timestarted) FROM "+table+" WHERE timestarted > 0").Scan(&count, &first)
	if err != nil {
		return err
	}
	if count > 0 {
		t.run(count, first.Int64)
	}
	err = conn.QueryRowContext(ctx, "SELECT COUNT(*), MIN(nextruntime) FROM "+table+
		" WHERE nextruntime <= ? AND timestarted IS NULL"+alive, now.Unix()).Scan(&t.Queued, &first)
	if err != nil {
		return err
	}
	if t.Queued > 0 {
		t.OldestDue = time.Unix(first.Int64, 0)
	}
	return t.readFailingAdhoc(ctx, conn, "SELECT classname, COUNT(*), MAX(faildelay) FROM "+table+
		" WHERE faildelay > 0"+alive+" GROUP BY classname")
}

func (t *Tasks) readFailingAdhoc(ctx context.Context, conn *sql.Conn, query string) error {
	rows, err := conn.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var task FailingTask
		var delay int64
		if err := rows.Scan(&task.Class, &task.Count, &delay); err != nil {
			return err
		}
		task.Delay = time.Duration(delay) * time.Second
		t.fail(task)
	}
	return rows.Err()
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
