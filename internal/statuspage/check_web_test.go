package statuspage_test

const visited = lms + `
moodle_threshold{name="web_slow_seconds"} 3
moodle_web_probe_status_code{site="lms"} 200
`

const fpm = `
moodle_phpfpm_up{server="8.2",pool="www"} 1
moodle_phpfpm_max_children{server="8.2",pool="www"} 20
`

var webCases = []checkCase{
	{"Web", "nothing known", lms, []verdict{{unknown, "lms", "login page", ""}, {unknown, "", "PHP-FPM", ""}, {unknown, "", "nginx", ""}}},
	{"Web", "none of it here", `
		moodle_scrape_collector_success{collector="phpfpm"} 1
		moodle_scrape_collector_success{collector="nginx"} 1`,
		[]verdict{{info, "", "PHP-FPM", ""}, {info, "", "nginx", ""}, {info, "", "collector web", ""}}},
	{"Web", "at the limit", visited + `
		moodle_web_probe_success{site="lms"} 1
		moodle_web_probe_duration_seconds{site="lms"} 3`, []verdict{{ok, "lms", "login page", ""}}},
	{"Web", "slower than the limit", visited + `
		moodle_web_probe_success{site="lms"} 1
		moodle_web_probe_duration_seconds{site="lms"} 3.01`, []verdict{{warning, "lms", "login page", "MoodleWebSlow"}}},
	{"Web", "without a limit", lms + `
		moodle_web_probe_success{site="lms"} 1
		moodle_web_probe_duration_seconds{site="lms"} 1`, []verdict{{unknown, "lms", "login page", ""}}},
	{"Web", "without a time", visited + `moodle_web_probe_success{site="lms"} 1`, []verdict{{unknown, "lms", "login page", ""}}},
	{"Web", "phases", visited + `moodle_web_probe_phase_duration_seconds{site="lms",phase="tls"} 0.1`, []verdict{{info, "lms", "phases", ""}}},
	{"Web", "not to be had", visited + `
		moodle_web_probe_success{site="lms"} 0
		moodle_web_probe_duration_seconds{site="lms"} 0.1`, []verdict{{critical, "lms", "login page", "MoodleWebProbeFailing"}}},
	{"Web", "closed as planned", visited + `
		moodle_web_probe_success{site="lms"} 0
		moodle_maintenance_planned_until_timestamp_seconds{site="lms"} @60`, []verdict{{warning, "lms", "login page", "MoodleMaintenanceActive"}}},
	{"Web", "closed longer than planned", visited + `
		moodle_web_probe_success{site="lms"} 0
		moodle_maintenance_planned_until_timestamp_seconds{site="lms"} @-1`, []verdict{{critical, "lms", "login page", "MoodleWebProbeFailing"}}},
	{"Web", "pool below the limit", fpm + `
		moodle_phpfpm_listen_queue{server="8.2",pool="www"} 0
		moodle_phpfpm_processes{server="8.2",pool="www",state="active"} 18`, []verdict{{ok, "", "PHP-FPM 8.2 www", ""}}},
	{"Web", "pool at the limit", fpm + `
		moodle_phpfpm_listen_queue{server="8.2",pool="www"} 0
		moodle_phpfpm_processes{server="8.2",pool="www",state="active"} 19`, []verdict{{warning, "", "PHP-FPM 8.2 www", "MoodleFPMSaturated"}}},
	{"Web", "pool full, users wait", fpm + `
		moodle_phpfpm_listen_queue{server="8.2",pool="www"} 1
		moodle_phpfpm_processes{server="8.2",pool="www",state="active"} 19`, []verdict{{critical, "", "PHP-FPM 8.2 www", "MoodleFPMQueueing"}}},
	{"Web", "requests wait beside free children", fpm + `
		moodle_phpfpm_listen_queue{server="8.2",pool="www"} 1
		moodle_phpfpm_processes{server="8.2",pool="www",state="active"} 18`, []verdict{{warning, "", "PHP-FPM 8.2 www", "MoodleFPMQueueing"}}},
	{"Web", "queue of a unix socket not known", fpm + `
		moodle_phpfpm_processes{server="8.2",pool="www",state="active"} 18`, []verdict{{ok, "", "PHP-FPM 8.2 www", ""}}},
	{"Web", "size of the pool not known", `
		moodle_phpfpm_up{server="8.2",pool="www"} 1
		moodle_phpfpm_processes{server="8.2",pool="www",state="active"} 1
		moodle_phpfpm_up{server="8.2",pool="api"} 1
		moodle_phpfpm_listen_queue{server="8.2",pool="api"} 0
		moodle_phpfpm_processes{server="8.2",pool="api",state="active"} 1
		moodle_phpfpm_up{server="8.2",pool="exam"} 1
		moodle_phpfpm_listen_queue{server="8.2",pool="exam"} 1
		moodle_phpfpm_processes{server="8.2",pool="exam",state="active"} 1`,
		[]verdict{{info, "", "PHP-FPM 8.2 www", ""}, {ok, "", "PHP-FPM 8.2 api", ""}, {critical, "", "PHP-FPM 8.2 exam", "MoodleFPMQueueing"}}},
	{"Web", "children not known", fpm + `moodle_phpfpm_listen_queue{server="8.2",pool="www"} 0`, []verdict{{unknown, "", "PHP-FPM 8.2 www", ""}}},
	// What the host was not told yet is a warning with the way out, never critical or unknown for ever.
	{"Web", "neither pool nor nginx tells its status", `
		moodle_scrape_collector_success{collector="phpfpm"} 0
		moodle_scrape_collector_success{collector="nginx"} 0
		moodle_phpfpm_up{server="8.2",pool="www"} 0
		moodle_nginx_up{server="localhost"} 0`,
		[]verdict{{warning, "", "PHP-FPM 8.2 www", ""}, {warning, "", "nginx localhost", ""}}},
	{"Web", "nginx tells", `
		moodle_nginx_up{server="a"} 1
		moodle_nginx_connections{server="a",state="writing"} 1
		moodle_nginx_up{server="b"} 1`, []verdict{{ok, "", "nginx a", ""}, {unknown, "", "nginx b", ""}}},
}

var redisCases = []checkCase{
	{"Redis", "nothing known", ``, []verdict{{unknown, "", "servers", ""}}},
	{"Redis", "none needed", `moodle_scrape_collector_success{collector="redis"} 1`, []verdict{{info, "", "servers", ""}}},
	{"Redis", "down", `moodle_redis_up{server="a",role="session"} 0`, []verdict{{critical, "", "a", "MoodleRedisDown"}}},
	{"Redis", "memory not known", `moodle_redis_up{server="a",role="cache"} 1`, []verdict{{unknown, "", "a", ""}}},
	{"Redis", "without a limit of its memory", `
		moodle_redis_up{server="a",role="cache"} 1
		moodle_redis_memory_max_bytes{server="a",role="cache"} 0
		moodle_redis_memory_used_bytes{server="a",role="cache"} 99`, []verdict{{ok, "", "a", ""}}},
	{"Redis", "at and past the limit", `
		moodle_redis_up{server="a",role="session"} 1
		moodle_redis_memory_max_bytes{server="a",role="session"} 100
		moodle_redis_memory_used_bytes{server="a",role="session"} 90
		moodle_redis_up{server="b",role="cache"} 1
		moodle_redis_memory_max_bytes{server="b",role="cache"} 100
		moodle_redis_memory_used_bytes{server="b",role="cache"} 91`, []verdict{{ok, "", "a", ""}, {warning, "", "b", "MoodleRedisMemoryNearLimit"}}},
	{"Redis", "evicted once, with room now", `
		moodle_redis_up{server="a",role="session"} 1
		moodle_redis_memory_max_bytes{server="a",role="session"} 100
		moodle_redis_memory_used_bytes{server="a",role="session"} 50
		moodle_redis_evicted_keys_total{server="a",role="session"} 7`, []verdict{{ok, "", "a", ""}}},
}

var activityCases = []checkCase{
	{"Sites", "supported for the whole notice", lms + `moodle_site_release_support_end_timestamp_seconds{site="lms"} @7776000`, []verdict{{ok, "lms", "support", ""}}},
	{"Sites", "support ends within the notice", lms + `moodle_site_release_support_end_timestamp_seconds{site="lms"} @7775999`, []verdict{{warning, "lms", "support", ""}}},
	{"Sites", "last second of support", lms + `moodle_site_release_support_end_timestamp_seconds{site="lms"} @1`, []verdict{{warning, "lms", "support", ""}}},
	{"Sites", "support ended", lms + `moodle_site_release_support_end_timestamp_seconds{site="lms"} @0`, []verdict{{critical, "lms", "support", ""}}},
	{"Sites", "no plugin lost", lms + `moodle_plugins_missing{site="lms"} 0`, []verdict{{ok, "lms", "plugins", ""}}},
	{"Sites", "a plugin lost", lms + `moodle_plugins_missing{site="lms"} 1`, []verdict{{warning, "lms", "plugins", ""}}},
	{"Sites", "updates are no fault", lms + `
		moodle_core_update_available{site="lms"} 1
		moodle_plugin_updates_available{site="lms"} 2`, []verdict{{info, "lms", "updates", ""}}},
	{"Sites", "what goes on", lms + `
		moodle_users_active{site="lms",window="5m"} 12
		moodle_courses{site="lms",visible="true"} 3
		moodle_quiz_attempts_in_progress{site="lms"} 1`,
		[]verdict{{info, "lms", "users", ""}, {info, "lms", "courses", ""}, {info, "lms", "quizzes", ""}}},
}

const copied = backup + `
moodle_backup_offsite_enabled{site="lms"} 1
`

var rehearsalCases = []checkCase{
	{"Backups", "copy not wanted", backup + `moodle_backup_offsite_enabled{site="lms"} 0`, []verdict{{info, "lms", "off-site copy", ""}}},
	{"Backups", "never copied", copied, []verdict{{warning, "lms", "off-site copy", "MoodleBackupOffsiteNeverSucceeded"}}},
	{"Backups", "copied at the limit", copied + `moodle_backup_offsite_last_success_timestamp_seconds{site="lms"} @-691200`, []verdict{{ok, "lms", "off-site copy", ""}}},
	{"Backups", "copied too long ago", copied + `moodle_backup_offsite_last_success_timestamp_seconds{site="lms"} @-691201`, []verdict{{critical, "lms", "off-site copy", "MoodleBackupOffsiteStale"}}},
	{"Backups", "copied in the future", copied + `moodle_backup_offsite_last_success_timestamp_seconds{site="lms"} @61`, []verdict{{unknown, "lms", "off-site copy", ""}}},
	{"Backups", "copied, without a limit", `
		moodle_backup_enabled{site="lms"} 1
		moodle_backup_offsite_enabled{site="lms"} 1
		moodle_backup_offsite_last_success_timestamp_seconds{site="lms"} @-60`, []verdict{{unknown, "lms", "off-site copy", ""}}},
	{"Backups", "never rehearsed", backup + `moodle_restore_drill_max_age_seconds{site="lms"} 1000`, []verdict{{info, "lms", "restore drill", ""}}},
	{"Backups", "rehearsed at the limit", backup + `
		moodle_restore_drill_max_age_seconds{site="lms"} 1000
		moodle_restore_drill_last_result{site="lms"} 1
		moodle_restore_drill_last_success_timestamp_seconds{site="lms"} @-1000`, []verdict{{ok, "lms", "restore drill", ""}}},
	{"Backups", "rehearsed too long ago", backup + `
		moodle_restore_drill_max_age_seconds{site="lms"} 1000
		moodle_restore_drill_last_success_timestamp_seconds{site="lms"} @-1001`, []verdict{{warning, "lms", "restore drill", "MoodleRestoreDrillTooOld"}}},
	{"Backups", "rehearsed in the future", backup + `moodle_restore_drill_last_success_timestamp_seconds{site="lms"} @61`, []verdict{{unknown, "lms", "restore drill", ""}}},
	{"Backups", "rehearsal failed", backup + `
		moodle_restore_drill_last_result{site="lms"} 0
		moodle_restore_drill_last_success_timestamp_seconds{site="lms"} @-60`, []verdict{{critical, "lms", "restore drill", "MoodleRestoreDrillFailed"}}},
}
