package collector

import (
	"context"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

const (
	insertEvents = "INSERT INTO {logstore_standard_log} (eventname)" +
		" SELECT ELT(1 + seq MOD 3, '\\\\core\\\\event\\\\user_loggedin', '\\\\core\\\\event\\\\user_login_failed', '\\\\core\\\\event\\\\course_viewed')" +
		" FROM `moodleX4.5`.seq_0_to_"
	insertTasks = "INSERT INTO {task_log} (type, timestart, timeend, result) VALUES "
)

// slimSite is the 4.5 site with tables of its own that hold what is counted in many rows and nothing else, so that a
// test can fill them fast.
func slimSite(t *testing.T) (*stand.MariaDBServer, *moodle.Site) {
	t.Helper()
	server, sites := theFleet(t)
	site := sites[0]
	from := site.Config.Prefix
	site.Config.Prefix = "slim_"
	statements := map[string]string{
		"logstore_standard_log": "(id bigint AUTO_INCREMENT PRIMARY KEY, eventname varchar(255))",
		"task_log":              "(id bigint AUTO_INCREMENT PRIMARY KEY, type smallint, result tinyint, timestart decimal(20,10), timeend decimal(20,10))",
		"files":                 "(id bigint AUTO_INCREMENT PRIMARY KEY, filesize bigint)",
	}
	for _, table := range []string{"config", "config_plugins", "user", "course", "sessions"} {
		statements[table] = "AS SELECT * FROM `" + schema45 + "`." + from + table
	}
	for table, content := range statements {
		must(t, server.Exec(t.Context(), inTables(site, "CREATE TABLE {"+table+"} "+content)))
		t.Cleanup(func() {
			must(t, server.Exec(context.WithoutCancel(t.Context()), inTables(site, "DROP TABLE {"+table+"}")))
		})
	}
	return server, site
}

// TestActivityCounters follows the logs through everything that happens to such tables.
func TestActivityCounters(t *testing.T) {
	server, site := slimSite(t)
	a, _ := activityCollector(t, []*moodle.Site{site})
	steps := []struct {
		what, statement                string
		logins, failed                 float64
		scheduled, adhoc, wrong, total float64 // runs, failures of ad hoc tasks, seconds of scheduled ones
	}{
		{"what was there before does not count", "DO 1", 0, 0, 0, 0, 0, 0},
		{"events", insertEvents + "8", 3, 3, 0, 0, 0, 0},
		{"no news", "DO 1", 3, 3, 0, 0, 0, 0},
		{"tasks", insertTasks + "(0,100.25,101.5,0),(0,100,103,1),(1,1,2,1),(1,1,9,0),(7,1,9,0)",
			3, 3, 2, 2, 1, 4.25},
		{"a clock that was set back", insertTasks + "(0,100,90,0)", 3, 3, 3, 2, 1, 4.25},
		{"more than one part", insertEvents + "24001", 8004, 8004, 3, 2, 1, 4.25},
		{"old rows pruned", "DELETE FROM {logstore_standard_log} LIMIT 9000", 8004, 8004, 3, 2, 1, 4.25},
		{"a gap in the ids", "ALTER TABLE {logstore_standard_log} AUTO_INCREMENT=3000000000", 8004, 8004, 3, 2, 1, 4.25},
		{"events after it", insertEvents + "2", 8005, 8005, 3, 2, 1, 4.25},
		{"emptied by Moodle", "DELETE FROM {logstore_standard_log}", 8005, 8005, 3, 2, 1, 4.25},
		{"events after it", insertEvents + "2", 8006, 8006, 3, 2, 1, 4.25},
		{"emptied by an administrator, ids begin at 1", "TRUNCATE {logstore_standard_log}", 8006, 8006, 3, 2, 1, 4.25},
		{"events after it", insertEvents + "2", 8007, 8007, 3, 2, 1, 4.25},
		{"an older database put back", "DELETE FROM {logstore_standard_log} WHERE id>1", 8007, 8007, 3, 2, 1, 4.25},
	}
	for _, step := range steps {
		must(t, server.Exec(t.Context(), inTables(site, step.statement)))
		got, err := refreshed(t, a)
		must(t, err)
		t.Log(step.what)
		wantValues(t, got, map[string]float64{
			"logins_total{lms}": step.logins, "login_failures_total{lms}": step.failed,
			"task_runs_total{scheduled,lms}": step.scheduled, "task_runs_total{adhoc,lms}": step.adhoc, "task_failures_total{adhoc,lms}": step.wrong,
			"task_duration_seconds_total{scheduled,lms}": step.total,
		})
		if t.Failed() {
			return
		}
	}
	must(t, server.Exec(t.Context(), inTables(site, "UPDATE {config_plugins} SET value='' WHERE plugin='tool_log' AND name='enabled_stores'")))
	got, err := refreshed(t, a)
	must(t, err)
	if _, there := got["logins_total{lms}"]; there {
		t.Error("logins are counted although the log is off")
	}
}

// TestCounterGoesOnAfterAFailure: what was counted before it is neither lost nor counted twice.
func TestCounterGoesOnAfterAFailure(t *testing.T) {
	server, site := slimSite(t)
	a, _ := activityCollector(t, []*moodle.Site{site})
	_, err := refreshed(t, a)
	must(t, err)
	// A view that the server fails to read beyond a row, in the third part.
	exec := func(statement string) {
		must(t, server.Exec(context.WithoutCancel(t.Context()), inTables(site, statement)))
	}
	exec(insertEvents + "60001")
	exec("CREATE TABLE {good} AS SELECT 45000 AS upto")
	exec("RENAME TABLE {logstore_standard_log} TO {logged}")
	exec("CREATE VIEW {logstore_standard_log} AS SELECT id, IF(id > (SELECT upto FROM {good}), (SELECT 'x' UNION SELECT 'y'), eventname) AS eventname FROM {logged}")
	t.Cleanup(func() {
		exec("DROP VIEW {logstore_standard_log}")
		exec("RENAME TABLE {logged} TO {logstore_standard_log}")
		exec("DROP TABLE {good}")
	})
	for range 2 {
		if _, err := refreshed(t, a); err == nil || !strings.Contains(err.Error(), "count new rows of logstore_standard_log of site lms") {
			t.Fatalf("the error is %v", err)
		}
	}
	exec("UPDATE {good} SET upto = 1000000")
	got, err := refreshed(t, a)
	must(t, err)
	wantValues(t, got, map[string]float64{"logins_total{lms}": 20001, "login_failures_total{lms}": 20001})
}

// TestActivityLeavesTheConnectionToScrapes: between the parts of a long walk others get their turn.
func TestActivityLeavesTheConnectionToScrapes(t *testing.T) {
	server, site := slimSite(t)
	must(t, server.Exec(t.Context(), inTables(site, "INSERT INTO {files} (filesize) SELECT seq FROM `moodleX4.5`.seq_1_to_100000")))
	a, _ := activityCollector(t, []*moodle.Site{site})
	done := make(chan struct{})
	go func() { a.files.refresher.Refresh(t.Context()); close(done) }()
	between := 0
	for reading := true; reading; {
		_, err := seriesOf(t, a)
		must(t, err)
		select {
		case <-done:
			reading = false
		default:
			between++
		}
	}
	got, err := seriesOf(t, a)
	must(t, err)
	wantValues(t, got, map[string]float64{"files{lms}": 100000, "files_bytes{lms}": 100000 * 100001 / 2})
	if between == 0 {
		t.Error("no scrape got through while six parts were read")
	}
}
