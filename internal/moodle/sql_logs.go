package moodle

import (
	"context"
	"errors"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/internal/dbserver"
)

// Modes of task_logmode (\core\task\logmanager).
const (
	logNoTasks     = 0
	logAllTasks    = 1
	logFailedTasks = 2
)

// readEnds looks where the logs that the site keeps end now.
func (s *Site) readEnds(ctx context.Context, db *dbserver.Connection, settings activitySettings, ends map[string]int64) (err error) {
	kept := map[string]bool{
		"logstore_standard_log": strings.Contains(","+settings["tool_log/enabled_stores"]+",", ",logstore_standard,"),
		"task_log":              settings.number("core/task_logmode", logAllTasks) != logNoTasks,
	}
	for table, is := range kept {
		if is {
			end, failure := s.newest(ctx, db, table)
			if failure == nil {
				ends[table] = end
			}
			err = errors.Join(err, failure)
		}
	}
	return err
}

func (a *Activity) readLogins(ctx context.Context, db *dbserver.Connection, site *Site, logs *LogCounter, ends map[string]int64) error {
	const table = "logstore_standard_log"
	end, kept := ends[table]
	if !kept {
		return nil
	}
	sums, err := logs.count(ctx, db, site, table, end)
	if err == nil {
		a.Logins = &Logins{Succeeded: sums[1], Failed: sums[2]}
	}
	return err
}

func (a *Activity) readTaskLog(ctx context.Context, db *dbserver.Connection, site *Site, logs *LogCounter, ends map[string]int64, settings activitySettings) error {
	const table = "task_log"
	end, kept := ends[table]
	if !kept {
		return nil
	}
	sums, err := logs.count(ctx, db, site, table, end)
	if err != nil {
		return err
	}
	a.TasksComplete = settings.number("core/task_logmode", logAllTasks) != logFailedTasks
	a.Tasks = make(map[string]TaskCounts, len(taskKinds))
	for i, kind := range taskKinds {
		a.Tasks[kind] = TaskCounts{Runs: sums[1+3*i], Failures: sums[2+3*i], Seconds: sums[3+3*i]}
	}
	return nil
}
