package collector

import (
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

var (
	tasksFailing = desc("tasks", "failing", "Enabled scheduled tasks and ad hoc tasks whose last run failed and that Moodle will try again.", "site")
	tasksOverdue = desc("tasks", "overdue", "Enabled scheduled tasks that have run before and are more than ten minutes late.", "site")
	tasksRunning = desc("tasks", "running", "Scheduled and ad hoc tasks that are running.", "site")
	taskLongest  = desc("task", "longest_running_seconds", "How long the longest running task has been running; 0 when none runs.", "site")
	adhocQueued  = desc("task", "adhoc_queued", "Ad hoc tasks that are due and wait for cron, without those that Moodle has given up.", "site")
	adhocOldest  = desc("task", "adhoc_oldest_age_seconds", "How long the first of the queued ad hoc tasks has been due; 0 when none is queued.", "site")
	taskDelay    = desc("task", "fail_delay_seconds", "How long Moodle waits before it tries a failing task again; the twenty worst tasks.", "site", "task")
)

// maxFailing bounds the series of one site.
const maxFailing = 20

// emitTasks leaves out what counts all ad hoc tasks where there are too many to be counted.
func emitTasks(emit Emit, site string, tasks *moodle.Tasks, now time.Time) {
	emit.gauge(tasksOverdue, float64(tasks.Overdue), site)
	emit.gauge(tasksRunning, float64(tasks.Running), site)
	emit.gauge(taskLongest, secondsSince(tasks.LongestStart, now), site)
	emit.gauge(adhocOldest, secondsSince(tasks.OldestDue, now), site)
	failing := 0
	for i, task := range tasks.Failing {
		failing += task.Count
		if i < maxFailing {
			emit.gauge(taskDelay, task.Delay.Seconds(), site, task.Class)
		}
	}
	if tasks.Counted {
		emit.gauge(tasksFailing, float64(failing), site)
		emit.gauge(adhocQueued, float64(tasks.Queued), site)
	}
}

// secondsSince is 0 for no time at all and for one that lies ahead, as the web server's clock may be another.
func secondsSince(start, now time.Time) float64 {
	if start.IsZero() {
		return 0
	}
	return max(0, now.Sub(start).Truncate(time.Second).Seconds())
}
