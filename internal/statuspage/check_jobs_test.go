package statuspage_test

const backup = `
moodle_backup_enabled{site="lms"} 1
moodle_backup_max_age_seconds{site="lms",component="all"} 691200
moodle_backup_max_age_seconds{site="lms",component="database"} 93600
`

const backupMade = backup + `
moodle_backup_last_success_timestamp_seconds{site="lms",component="all"} @-60
`

var backupCases = []checkCase{
	{"Backups", "no site", ``, []verdict{{info, "", "backups", ""}}},
	{"Backups", "not known", lms, []verdict{{unknown, "lms", "backups", ""}}},
	{"Backups", "switched off, and old", `
		moodle_backup_enabled{site="lms"} 0
		moodle_backup_max_age_seconds{site="lms",component="all"} 691200
		moodle_backup_last_success_timestamp_seconds{site="lms",component="all"} @-691201`, []verdict{{info, "lms", "backups", ""}}},
	{"Backups", "never one", backup, []verdict{{critical, "lms", "complete backup", "MoodleBackupNeverSucceeded"}}},
	{"Backups", "never a complete one", backup + `moodle_backup_last_success_timestamp_seconds{site="lms",component="database"} @-60`,
		[]verdict{{critical, "lms", "complete backup", "MoodleBackupNeverSucceeded"}, {ok, "lms", "database", ""}, {unknown, "lms", "place", ""}}},
	{"Backups", "at the limit", backup + `
		moodle_backup_last_success_timestamp_seconds{site="lms",component="all"} @-691200
		moodle_backup_last_success_timestamp_seconds{site="lms",component="database"} @-93600`,
		[]verdict{{ok, "lms", "complete backup", ""}, {ok, "lms", "database", ""}}},
	{"Backups", "database past its limit", backup + `
		moodle_backup_last_success_timestamp_seconds{site="lms",component="all"} @-93601
		moodle_backup_last_success_timestamp_seconds{site="lms",component="database"} @-93601`,
		[]verdict{{ok, "lms", "complete backup", ""}, {critical, "lms", "database", "MoodleBackupTooOld"}}},
	{"Backups", "all past its limit", backup + `
		moodle_backup_last_success_timestamp_seconds{site="lms",component="all"} @-691201
		moodle_backup_last_success_timestamp_seconds{site="lms",component="plugins"} @-691201
		moodle_backup_max_age_seconds{site="lms",component="plugins"} 691200`,
		[]verdict{{critical, "lms", "complete backup", "MoodleBackupTooOld"}, {critical, "lms", "plugins", "MoodleBackupTooOld"}}},
	{"Backups", "no limit", `
		moodle_backup_enabled{site="lms"} 1
		moodle_backup_last_success_timestamp_seconds{site="lms",component="all"} @-691201
		moodle_backup_last_success_timestamp_seconds{site="lms",component="logs"} @-691201`,
		[]verdict{{unknown, "lms", "complete backup", ""}, {ok, "lms", "logs", ""}}},
	{"Backups", "in the future", backup + `moodle_backup_last_success_timestamp_seconds{site="lms",component="all"} @61`, []verdict{{unknown, "lms", "complete backup", ""}}},
	{"Backups", "on the same disk", backupMade + `moodle_backup_same_filesystem{site="lms"} 1`, []verdict{{warning, "lms", "place", ""}}},
	{"Backups", "on another disk", backupMade + `moodle_backup_same_filesystem{site="lms"} 0`, []verdict{{ok, "lms", "place", ""}}},
	{"Backups", "disk not known", backupMade, []verdict{{unknown, "lms", "place", ""}}},
	{"Backups", "never verified", backup + `moodle_backup_verify_max_age_seconds{site="lms"} 1000`, []verdict{{info, "lms", "verified", ""}}},
	{"Backups", "verified at the limit", backup + `
		moodle_backup_verify_max_age_seconds{site="lms"} 1000
		moodle_backup_last_verify_result{site="lms"} 1
		moodle_backup_last_verify_success_timestamp_seconds{site="lms"} @-1000`, []verdict{{ok, "lms", "verified", ""}}},
	{"Backups", "verified too long ago", backup + `
		moodle_backup_verify_max_age_seconds{site="lms"} 1000
		moodle_backup_last_verify_success_timestamp_seconds{site="lms"} @-1001`, []verdict{{warning, "lms", "verified", "MoodleBackupUnverified"}}},
	{"Backups", "verified in the future", backup + `
		moodle_backup_verify_max_age_seconds{site="lms"} 1000
		moodle_backup_last_verify_success_timestamp_seconds{site="lms"} @61`, []verdict{{unknown, "lms", "verified", ""}}},
	{"Backups", "verification failed", backup + `moodle_backup_last_verify_result{site="lms"} 0`, []verdict{{critical, "lms", "verified", "MoodleBackupVerifyFailed"}}},
	{"Backups", "damaged", backup + `
		moodle_backup_last_verify_result{site="lms"} 1
		moodle_backup_damaged_files{site="lms"} 1`, []verdict{{critical, "lms", "verified", "MoodleBackupVerifyFailed"}}},
	{"Backups", "neither verified, nor elsewhere, nor rehearsed", backup,
		[]verdict{{info, "lms", "verified", ""}, {info, "lms", "off-site copy", ""}, {info, "lms", "restore drill", ""}}},
	{"Backups", "more lost than accepted", backup + `
		moodle_backup_missing_files{site="lms"} 3
		moodle_backup_missing_files_accepted{site="lms"} 2`, []verdict{{warning, "lms", "lost files", "MoodleBackupFilesMissing"}}},
	{"Backups", "failed", backup + `
		moodle_job_running{site="lms",name="backup"} 0
		moodle_job_last_result{site="lms",name="backup"} 0`,
		[]verdict{{info, "lms", "last run", ""}, {warning, "lms", "backup", "MoodleBackupFailed"}}},
	{"Backups", "done", backup + `
		moodle_job_running{site="lms",name="backup"} 0
		moodle_job_last_result{site="lms",name="backup"} 1`, []verdict{{ok, "lms", "last run", ""}, {ok, "lms", "backup", ""}}},
}

var jobCases = []checkCase{
	{"Jobs", "collector missing", ``, []verdict{{unknown, "", "jobs", ""}}},
	{"Jobs", "none yet", `moodle_scrape_collector_success{collector="job"} 1`, []verdict{{info, "", "jobs", ""}}},
	{"Jobs", "backup of a site that is gone failed", `
		moodle_job_running{site="old",name="backup"} 0
		moodle_job_last_result{site="old",name="backup"} 0`, []verdict{{warning, "old", "backup", "MoodleBackupFailed"}}},
	{"Jobs", "others failed", `
		moodle_job_running{site="lms",name="update"} 0
		moodle_job_last_result{site="lms",name="update"} 0
		moodle_job_running{site="lms",name="restore"} 0
		moodle_job_last_result{site="lms",name="restore"} 0
		moodle_job_running{site="",name="maintain"} 0
		moodle_job_last_result{site="",name="maintain"} 0`,
		[]verdict{{critical, "lms", "update", "MoodleUpdateFailed"}, {critical, "lms", "restore", "MoodleRestoreFailed"}, {warning, "", "maintain", "MoodleJobFailed"}}},
	{"Jobs", "running", `
		moodle_job_running{site="lms",name="backup"} 1
		moodle_job_progress_ratio{site="lms",name="backup"} 0.5`, []verdict{{ok, "lms", "backup", ""}}},
	{"Jobs", "neither running nor ended", `moodle_job_running{site="lms",name="prune"} 0`, []verdict{{unknown, "lms", "prune", ""}}},
}

var exporterCases = []checkCase{
	{"Exporter", "nothing at all", ``, []verdict{{unknown, "", "collectors", ""}, {unknown, "", "look at the host", ""}, {info, "", "version", ""}}},
	{"Exporter", "a collector fails", `
		moodle_scrape_collector_success{collector="cpu"} 1
		moodle_scrape_collector_success{collector="service"} 0`, []verdict{{warning, "", "collector service", "MoodleCollectorFailing"}, {unknown, "", "services", ""}}},
	{"Exporter", "collectors work", `moodle_scrape_collector_success{collector="cpu"} 1`, []verdict{{ok, "", "collectors", ""}}},
	{"Exporter", "facts before and at the limit", `
		moodle_probe_facts_timestamp_seconds{site=""} @-899
		moodle_probe_facts_timestamp_seconds{site="lms"} @-900
		moodle_probe_facts_timestamp_seconds{site="exam"} @61
		moodle_backup_enabled{site="new"} 0`,
		[]verdict{{ok, "", "look at the host", ""}, {warning, "", "look at lms", ""}, {unknown, "", "look at exam", ""}, {unknown, "", "look at new", ""}}},
	{"Exporter", "reload failed", `moodle_exporter_config_last_reload_successful 0`, []verdict{{warning, "", "configuration", "MoodleConfigReloadFailed"}}},
}
