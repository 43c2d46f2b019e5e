package main

const ofSite = "{{site}} on {{instance}}"

func backups() board {
	return board{
		name: "backup", title: "Backups and jobs", from: "now-30d", sites: true,
		description: "Could every site be brought back, and from when? Backups, their verification, copies elsewhere, rehearsed restores, and every job.",
		rows:        []row{{"Backups", backupPanels()}, {"Can they be relied on?", trustPanels()}, {"Jobs", jobPanels()}},
	}
}

func backupPanels() []*panel {
	const none = " No data: there has been no good backup yet."
	return []*panel{
		series("Age", "s", "Of the newest good backup of each component, and the greatest age allowed."+none, ask{`moodle_backup_age_seconds{SITE}`, "{{component}} of " + ofSite}, ask{`moodle_backup_max_age_seconds{SITE, component="all"}`, limitPrefix + ofSite}).runbook("MoodleBackupTooOld").sized(12, 8),
		table("Made", "dateTimeFromNow", "When the newest good backup of each component was made."+none, "made", ask{`moodle_backup_last_success_timestamp_seconds{SITE} * 1000`, ""}),
		series("Size", "bytes", "What the newest one restores to, and the median of the last seven."+none, ask{`moodle_backup_last_size_bytes{SITE}`, "{{component}} of " + ofSite}, ask{`moodle_backup_baseline_size_bytes{SITE, component="all"}`, "usual, " + ofSite}).runbook("MoodleBackupShrunk"),
		series("Newly stored", "bytes", "By the newest one."+none, ask{`moodle_backup_last_written_bytes{SITE}`, "{{component}} of " + ofSite}).runbook("MoodleDiskCannotHoldNextBackup"),
		series("Duration", "s", "Of the last run, and the median of the last seven good ones. No data: it has never run, or runs for the first time.", ask{`moodle_job_last_duration_seconds{SITE, name="backup"}`, ofSite}, ask{`moodle_backup_baseline_duration_seconds{SITE}`, "usual, " + ofSite}).runbook("MoodleBackupDurationGrowing"),
		series("Stored", "bytes", "Space that all backups of the site take together. No data: root's look has not been taken.", ask{`moodle_backup_stored_bytes{SITE}`, ofSite}),
		series("Backups", "none", "How many there are. No data: root's look has not been taken.", ask{`moodle_backups{SITE}`, ofSite}),
		stat("Switched on", "bool_yes_no", "Whether this host makes backups of the site. No data: root's look has not been taken.", ask{`moodle_backup_enabled{SITE}`, ofSite}).bad(1, false),
		stat("On the site's own disk", "bool_yes_no", "If that disk breaks, both are lost together."+none, ask{`moodle_backup_same_filesystem{SITE}`, ofSite}).bad(1, true),
	}
}

func trustPanels() []*panel {
	return []*panel{
		series("Verified", "s", "Time since the backups were last found intact, and how long it may be. No data: never verified.", ask{`time() - moodle_backup_last_verify_success_timestamp_seconds{SITE}`, ofSite}, ask{`moodle_backup_verify_max_age_seconds{SITE}`, limitPrefix + ofSite}).runbook("MoodleBackupUnverified"),
		stat("Intact", "bool_yes_no", "Result of the last verification. No data: never verified.", ask{`moodle_backup_last_verify_result{SITE}`, ofSite}).bad(1, false).runbook("MoodleBackupVerifyFailed"),
		stat("Damaged files", "none", "Found by the last verification. No data: never verified.", ask{`moodle_backup_damaged_files{SITE}`, ofSite}).bad(1, true).runbook("MoodleBackupVerifyFailed"),
		series("Lost files", "none", "Files that the site had already lost when the newest backup was made, and how many were accepted. No data: there has been no good backup yet.", ask{`moodle_backup_missing_files{SITE}`, ofSite}, ask{`moodle_backup_missing_files_accepted{SITE}`, limitPrefix + ofSite}).runbook("MoodleBackupFilesMissing"),
		series("Off-site copy, age", "s", "No data: no copy has been made, or none is wanted.", ask{`time() - moodle_backup_offsite_last_success_timestamp_seconds{SITE}`, ofSite}).runbook("MoodleBackupOffsiteStale"),
		series("Still to copy", "bytes", "No data: no copies are wanted.", ask{`moodle_backup_offsite_pending_bytes{SITE}`, ofSite}),
		stat("Off-site copies wanted", "bool_yes_no", "No data: root's look has not been taken.", ask{`moodle_backup_offsite_enabled{SITE}`, ofSite}),
		stat("Last drill", "bool_yes_no", "Whether the last rehearsed restore succeeded. No data: none has been made.", ask{`moodle_restore_drill_last_result{SITE}`, ofSite}).bad(1, false).runbook("MoodleRestoreDrillFailed"),
		series("Drill, age", "s", "Time since a restore was last rehearsed with success, and how long it may be. No data: none has been made.", ask{`time() - moodle_restore_drill_last_success_timestamp_seconds{SITE}`, ofSite}, ask{`moodle_restore_drill_max_age_seconds{SITE}`, limitPrefix + ofSite}).runbook("MoodleRestoreDrillTooOld"),
		series("Recovery time", "s", "How long the last successful rehearsal took. No data: none has been made.", ask{`moodle_restore_drill_last_duration_seconds{SITE}`, ofSite}),
	}
}

func jobPanels() []*panel {
	const job = "{{name}} {{site}} on {{instance}}"
	const none = " No data: none has run yet."
	return []*panel{
		states("Running", "Jobs of the host have no site and are shown for every choice."+none, ask{`moodle_job_running{HOST, site=~"$site|"}`, job}).bad(1, true).sized(12, 8),
		bars("Progress", "percentunit", "Of the running ones. No data: none runs, or it does not count bytes.", ask{`moodle_job_progress_ratio{HOST, site=~"$site|"}`, job}).between(0, 1).sized(12, 8),
		states("Last result", "Whether the last finished run did its work."+none, ask{`moodle_job_last_result{HOST, site=~"$site|"}`, job}).bad(1, false).runbook("MoodleJobFailed").sized(12, 8),
		table("Ended", "dateTimeFromNow", "When the last run ended."+none, "ended", ask{`moodle_job_last_end_timestamp_seconds{HOST, site=~"$site|"} * 1000`, ""}),
		series("Since the last good run", "s", none[1:], ask{`time() - moodle_job_last_success_timestamp_seconds{HOST, site=~"$site|"}`, job}),
		series("Since the last start", "s", none[1:], ask{`time() - moodle_job_last_start_timestamp_seconds{HOST, site=~"$site|"}`, job}),
		series("Duration", "s", "Of the last run."+none, ask{`moodle_job_last_duration_seconds{HOST, site=~"$site|"}`, job}),
		bars("Steps", "s", "How long each step of the last run took."+none, ask{`moodle_job_step_duration_seconds{HOST, site=~"$site|"}`, "{{step}} of " + job}).sized(16, 10),
		series("Runs and failures", "none", "Within a day."+none, ask{`increase(moodle_job_runs_total{HOST, site=~"$site|"}[1d])`, "runs, " + job}, ask{`increase(moodle_job_failures_total{HOST, site=~"$site|"}[1d])`, "failures, " + job}).sized(8, 10),
	}
}
