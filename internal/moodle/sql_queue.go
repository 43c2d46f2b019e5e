package moodle

import (
	"context"
	"database/sql"
	"time"
)

// rest is how many times the length of a count passes before the next one. Tables of ad hoc tasks with
// millions of rows exist, and a database in that trouble shall not spend more than a twentieth of its time
// on being watched. An ordinary count takes a millisecond and is made at every scrape.
const rest = 20

// queue is what only a pass through the whole table of ad hoc tasks tells.
type queue struct {
	due     int
	failing []FailingTask
}

// count is the last pass through a table.
type count struct {
	began, next time.Time
	queue       queue
	err         error
}

// count makes a pass, or returns the last one if that has to last longer.
func (r *TaskReader) count(key tableVersion, read func() (queue, error)) (queue, error) {
	r.mu.Lock()
	last := r.counts[key]
	r.mu.Unlock()
	now := r.clock()
	if now.Before(last.next) && !now.Before(last.began) {
		return last.queue, last.err
	}
	last = count{began: now}
	last.queue, last.err = read()
	last.next = now.Add(rest * r.clock().Sub(now))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[key] = last
	return last.queue, last.err
}

func readQueue(ctx context.Context, conn *sql.Conn, site *Site, alive string, now time.Time) (queue, error) {
	rows, err := conn.QueryContext(ctx, "SELECT classname, SUM(nextruntime <= ? AND timestarted IS NULL), SUM(COALESCE(faildelay, 0) > 0),"+
		" COALESCE(MAX(faildelay), 0) FROM "+site.quoted("task_adhoc")+" WHERE TRUE"+alive+" GROUP BY classname", now.Unix())
	if err != nil {
		return queue{}, err
	}
	defer func() { _ = rows.Close() }()
	var q queue
	for rows.Next() {
		var task FailingTask
		var due int
		var delay int64
		if err := rows.Scan(&task.Class, &due, &task.Count, &delay); err != nil {
			return queue{}, err
		}
		q.due += due
		if task.Count > 0 {
			task.Delay = time.Duration(delay) * time.Second
			q.failing = append(q.failing, task)
		}
	}
	return q, rows.Err()
}
