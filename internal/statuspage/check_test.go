package statuspage_test

import "github.com/moodle-exporter/moodle-exporter/internal/statuspage"

// verdict is what one line of a report should be. Runbook is the alert that fires in the same situation.
type verdict struct {
	level         statuspage.Level
	site, subject string
	runbook       string
}

const (
	ok       = statuspage.OK
	warning  = statuspage.Warning
	critical = statuspage.Critical
	unknown  = statuspage.Unknown
	info     = statuspage.Info
)

// checkCase is a situation in one section. @ stands for now, @-60 for a minute ago.
type checkCase struct {
	section, name, metrics string
	want                   []verdict
}

// checkCases go to both sides of every limit. Each is judged by Evaluate and by the alert rules.
func checkCases() []checkCase {
	var all []checkCase
	for _, cases := range [][]checkCase{siteCases, activityCases, webCases, redisCases, rehearsalCases, serviceCases, databaseCases, hostCases, certificateCases, backupCases, jobCases, exporterCases} {
		all = append(all, cases...)
	}
	return all
}

const lms = `
moodle_site_info{site="lms",release="4.5",wwwroot="https://lms"} 1
moodle_database_server_info{site="lms",server="db"} 1
`

var siteCases = []checkCase{
	{"Sites", "no site", ``, []verdict{{unknown, "", "sites", ""}}},
	{"Sites", "nothing known but its name", `moodle_backup_enabled{site="lms"} 1`, []verdict{
		{unknown, "lms", "release", ""}, {unknown, "lms", "open", ""}, {unknown, "lms", "cron", ""}, {unknown, "lms", "tasks", ""}, {unknown, "lms", "upgrade", ""},
	}},
	{"Sites", "collector off", `moodle_scrape_collector_success{collector="cpu"} 1`, []verdict{{info, "", "collector site", ""}}},
	{"Sites", "database of another kind", `
		moodle_site_info{site="lms",release="4.5",wwwroot="https://lms"} 1
		moodle_scrape_collector_success{collector="site"} 1
		moodle_scrape_collector_success{collector="database"} 1`,
		[]verdict{{info, "lms", "release", ""}, {info, "lms", "open", ""}, {info, "lms", "cron", ""}, {info, "lms", "tasks", ""}, {info, "lms", "upgrade", ""}}},
	{"Sites", "open", lms + `
		moodle_maintenance_mode{site="lms",kind="cli"} 0
		moodle_maintenance_mode{site="lms",kind="admin"} 0`, []verdict{{ok, "lms", "open", ""}}},
	{"Sites", "file unknown", lms + `moodle_maintenance_mode{site="lms",kind="admin"} 0`, []verdict{{unknown, "lms", "open", ""}}},
	{"Sites", "switch unknown", lms + `moodle_maintenance_mode{site="lms",kind="cli"} 0`, []verdict{{unknown, "lms", "open", ""}}},
	{"Sites", "closed by file", lms + `moodle_maintenance_mode{site="lms",kind="cli"} 1`, []verdict{{critical, "lms", "open", "MoodleLeftInMaintenance"}}},
	{"Sites", "closed by switch", lms + `moodle_maintenance_mode{site="lms",kind="admin"} 1`, []verdict{{critical, "lms", "open", "MoodleLeftInMaintenance"}}},
	{"Sites", "closed as planned", lms + `
		moodle_maintenance_mode{site="lms",kind="cli"} 1
		moodle_maintenance_planned_until_timestamp_seconds{site="lms"} @60`, []verdict{{warning, "lms", "open", ""}}},
	{"Sites", "closed while the host is worked on", lms + `
		moodle_maintenance_mode{site="lms",kind="cli"} 1
		moodle_maintenance_planned_until_timestamp_seconds{site=""} @60`, []verdict{{warning, "lms", "open", ""}}},
	{"Sites", "closed longer than planned", lms + `
		moodle_maintenance_mode{site="lms",kind="cli"} 1
		moodle_maintenance_planned_until_timestamp_seconds{site="lms"} @-1`, []verdict{{critical, "lms", "open", "MoodleLeftInMaintenance"}}},
	{"Sites", "cron of two sites at and past the limit", lms + `
		moodle_threshold{name="cron_max_age_seconds"} 900
		moodle_cron_enabled{site="lms"} 1
		moodle_cron_last_start_timestamp_seconds{site="lms"} @-900
		moodle_cron_enabled{site="exam"} 1
		moodle_site_info{site="exam"} 1
		moodle_cron_last_start_timestamp_seconds{site="exam"} @-901`,
		[]verdict{{ok, "lms", "cron", ""}, {critical, "exam", "cron", "MoodleCronNotRunning"}}},
	{"Sites", "cron switched off, still fresh", lms + `
		moodle_threshold{name="cron_max_age_seconds"} 900
		moodle_cron_enabled{site="lms"} 0
		moodle_cron_last_start_timestamp_seconds{site="lms"} @-60`, []verdict{{warning, "lms", "cron", ""}}},
	{"Sites", "cron switched off and old", lms + `
		moodle_threshold{name="cron_max_age_seconds"} 900
		moodle_cron_enabled{site="lms"} 0
		moodle_cron_last_start_timestamp_seconds{site="lms"} @-901`, []verdict{{critical, "lms", "cron", "MoodleCronNotRunning"}}},
	{"Sites", "cron has never run", lms + `moodle_cron_enabled{site="lms"} 1`, []verdict{{critical, "lms", "cron", "MoodleCronNotRunning"}}},
	{"Sites", "cron without a limit", lms + `moodle_cron_last_start_timestamp_seconds{site="lms"} @-60`, []verdict{{unknown, "lms", "cron", ""}}},
	{"Sites", "cron in the future", lms + `
		moodle_threshold{name="cron_max_age_seconds"} 900
		moodle_cron_last_start_timestamp_seconds{site="lms"} @61`, []verdict{{unknown, "lms", "cron", ""}}},
	{"Sites", "cron at NaN", lms + `
		moodle_threshold{name="cron_max_age_seconds"} 900
		moodle_cron_last_start_timestamp_seconds{site="lms"} NaN`, []verdict{{unknown, "lms", "cron", ""}}},
	{"Sites", "database down", lms + `moodle_database_up{server="db"} 0`,
		[]verdict{{unknown, "lms", "cron", ""}, {critical, "", "db", "MoodleDBDown"}}},
	{"Sites", "no task fails", lms + `moodle_tasks_failing{site="lms"} 0`, []verdict{{ok, "lms", "tasks", ""}}},
	{"Sites", "a task had a hiccup", lms + `
		moodle_tasks_failing{site="lms"} 1
		moodle_task_fail_delay_seconds{site="lms",task="t"} 3600`, []verdict{{ok, "lms", "tasks", ""}}},
	{"Sites", "a task keeps failing", lms + `
		moodle_tasks_failing{site="lms"} 1
		moodle_task_fail_delay_seconds{site="lms",task="t"} 7200`, []verdict{{warning, "lms", "tasks", "MoodleTaskFailing"}}},
	{"Sites", "no upgrade", lms + `moodle_upgrade_pending{site="lms"} 0`, []verdict{{ok, "lms", "upgrade", ""}}},
	{"Sites", "upgrade pending", lms + `moodle_upgrade_pending{site="lms"} 1`, []verdict{{critical, "lms", "upgrade", "MoodleUpgradePending"}}},
	{"Sites", "upgrade pending as planned", lms + `
		moodle_upgrade_pending{site="lms"} 1
		moodle_maintenance_planned_until_timestamp_seconds{site="lms"} @60`, []verdict{{warning, "lms", "upgrade", ""}}},
	{"Sites", "upgrade running", lms + `
		moodle_upgrade_running{site="lms"} 1
		moodle_upgrade_pending{site="lms"} 1`, []verdict{{warning, "lms", "upgrade", ""}}},
}

var serviceCases = []checkCase{
	{"Services", "none", ``, []verdict{{unknown, "", "services", ""}}},
	{"Services", "none to be watched", `moodle_scrape_collector_success{collector="service"} 1`, []verdict{{info, "", "services", ""}}},
	{"Services", "one down", `
		moodle_service_up{unit="nginx.service"} 0
		moodle_service_up{unit="cron.service"} 1
		moodle_service_state{unit="nginx.service",state="failed"} 1`,
		[]verdict{{critical, "", "nginx.service", "MoodleServiceDown"}, {ok, "", "cron.service", ""}}},
}

var databaseCases = []checkCase{
	{"Database", "none", ``, []verdict{{unknown, "", "server", ""}}},
	{"Database", "none needed", `moodle_scrape_collector_success{collector="database"} 1`, []verdict{{info, "", "servers", ""}}},
	{"Database", "collector failed", `moodle_scrape_collector_success{collector="database"} 0`, []verdict{{unknown, "", "server", ""}}},
	{"Database", "server without an answer", `moodle_database_server_info{site="lms",server="db"} 1`, []verdict{{unknown, "", "db", ""}}},
	{"Database", "down", `moodle_database_up{server="db"} 0`, []verdict{{critical, "", "db", "MoodleDBDown"}}},
	{"Database", "up, connections unknown", `moodle_database_up{server="db"} 1`, []verdict{{ok, "", "db", ""}, {unknown, "", "connections", ""}}},
	{"Database", "connections at and past the limit", `
		moodle_threshold{name="db_connections_ratio"} 0.5
		moodle_database_up{server="a"} 1
		moodle_database_up{server="b"} 1
		moodle_database_threads_connected{server="a"} 50
		moodle_database_threads_connected{server="b"} 51
		moodle_database_max_connections{server="a"} 100
		moodle_database_max_connections{server="b"} 100`,
		[]verdict{{ok, "", "connections of a", ""}, {warning, "", "connections of b", "MoodleDBConnectionsNearLimit"}}},
	{"Database", "connections without a limit", `
		moodle_database_up{server="db"} 1
		moodle_database_threads_connected{server="db"} 1
		moodle_database_max_connections{server="db"} 100`, []verdict{{unknown, "", "connections", ""}}},
	{"Database", "replica behind", `
		moodle_threshold{name="db_replication_lag_seconds"} 60
		moodle_database_replication_running{server="db"} 1
		moodle_database_replication_lag_seconds{server="db"} 61`, []verdict{{warning, "", "replication", "MoodleDBReplicationLag"}}},
	{"Database", "replica up to date", `
		moodle_threshold{name="db_replication_lag_seconds"} 60
		moodle_database_replication_running{server="db"} 1
		moodle_database_replication_lag_seconds{server="db"} 60`, []verdict{{ok, "", "replication", ""}}},
	{"Database", "replica stopped", `moodle_database_replication_running{server="db"} 0`, []verdict{{critical, "", "replication", "MoodleDBReplicationStopped"}}},
	{"Database", "replica without lag", `moodle_database_replication_running{server="db"} 1`, []verdict{{unknown, "", "replication", ""}}},
	{"Database", "replica without a limit", `
		moodle_database_replication_running{server="db"} 1
		moodle_database_replication_lag_seconds{server="db"} 0`, []verdict{{unknown, "", "replication", ""}}},
}
