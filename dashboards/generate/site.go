package main

func site() board {
	const where, noDatabase = "{{site}} on {{instance}}", " No data: the database does not let the exporter in."
	return board{
		name: "site", title: "Site", from: "now-24h", sites: true,
		description: "One Moodle site, or several: pages, users, cron and tasks, what is installed.",
		rows: []row{
			{"Pages", []*panel{
				states("Users get in", "Whether the login page came, once a minute. No data: the site was never visited.", ask{`moodle_web_probe_success{SITE}`, where}).bad(1, false).runbook("MoodleWebProbeFailing"),
				series("Login page", "s", "How long it took, and the limit. No data: the site was never visited.", ask{`moodle_web_probe_duration_seconds{SITE}`, where}, limit("web_slow_seconds")).runbook("MoodleWebSlow"),
				stacked("Phases", "s", "Where the time went. A phase that did not come about, such as TLS, is absent. No data: the site was never visited.", ask{`moodle_web_probe_phase_duration_seconds{SITE}`, "{{phase}} of " + where}),
				series("Failed visits", "percentunit", "Part of the visits that failed; 99.5 % of a month should succeed. No data: the rules of moodle-exporter are not loaded.",
					ask{`site:moodle_web_probe_errors:ratio_avg5m{SITE}`, "5 min " + where}, ask{`site:moodle_web_probe_errors:ratio_avg1h{SITE}`, "1 h " + where}, ask{`site:moodle_web_probe_errors:ratio_avg3d{SITE}`, "3 d " + where}).runbook("MoodleSiteErrorBudgetBurnFast"),
				series("HTTP status", "none", "Status of the last answer. No data: there was none.", ask{`moodle_web_probe_status_code{SITE}`, where}),
				series("Last visit ago", "s", "Grows beyond a minute when the visits themselves stand still. No data: the site was never visited.", ask{`time() - moodle_web_probe_timestamp_seconds{SITE}`, where}),
			}},
			{"Users", []*panel{
				series("Active users", "none", "Users seen within the window."+noDatabase, ask{`moodle_users_active{SITE}`, "{{window}} " + where}),
				series("Sessions", "none", "Sessions that have not timed out, those of guests included. No data: Redis keeps them and cannot be asked, or the database does not let the exporter in.", ask{`moodle_sessions{SITE}`, where}),
				series("Logins", "reqps", "By Moodle's standard log. No data: that log is off.", ask{`rate(moodle_logins_total{SITE}[$__rate_interval])`, "good, " + where}, ask{`rate(moodle_login_failures_total{SITE}[$__rate_interval])`, "failed, " + where}),
				series("Quiz attempts under way", "none", "No update and no restart while there are many."+noDatabase, ask{`moodle_quiz_attempts_in_progress{SITE}`, where}),
				series("Accounts", "none", "By status."+noDatabase, ask{`moodle_users{SITE}`, "{{status}}, " + where}),
				series("Courses", "none", "Visible and hidden ones, without the front page."+noDatabase, ask{`moodle_courses{SITE}`, "visible {{visible}}, " + where}),
			}},
			{"Cron and tasks", []*panel{
				series("Cron started ago", "s", "Time since cron last started, the interval between its starts, and the limit. No data: it never ran.",
					ask{`time() - moodle_cron_last_start_timestamp_seconds{SITE}`, "ago, " + where}, ask{`moodle_cron_interval_seconds{SITE}`, "interval, " + where}, limit("cron_max_age_seconds")).runbook("MoodleCronNotRunning"),
				series("Ad hoc tasks waiting", "s", "How long the first of them has been due. No data: nobody can count so many, or the database does not let the exporter in.", ask{`moodle_task_adhoc_oldest_age_seconds{SITE}`, where}, limit("task_queue_age_seconds")).runbook("MoodleTaskQueueDelayed"),
				series("Tasks", "none", "Ad hoc tasks that wait, tasks that run, are late or keep failing."+noDatabase,
					ask{`moodle_task_adhoc_queued{SITE}`, "waiting, " + where}, ask{`moodle_tasks_running{SITE}`, "running, " + where}, ask{`moodle_tasks_overdue{SITE}`, "late, " + where}, ask{`moodle_tasks_failing{SITE}`, "failing, " + where}),
				series("Runs of tasks", "ops", "By Moodle's log of tasks. No data: that log keeps failures only, or nothing.", ask{`rate(moodle_task_runs_total{SITE}[$__rate_interval])`, "{{kind}}, " + where}, ask{`rate(moodle_task_failures_total{SITE}[$__rate_interval])`, "failed {{kind}}, " + where}),
				series("Tasks at work", "none", "How many ran at once, on average. No data: Moodle's log of tasks keeps failures only, or nothing.", ask{`rate(moodle_task_duration_seconds_total{SITE}[$__rate_interval])`, "{{kind}}, " + where}),
				series("Longest running task", "s", "0 when none runs."+noDatabase, ask{`moodle_task_longest_running_seconds{SITE}`, where}),
				table("Failing tasks", "s", "How long Moodle waits before it tries again; the twenty worst of each site. No data: none fails.", "next try after", ask{`moodle_task_fail_delay_seconds{SITE}`, ""}).runbook("MoodleTaskFailing"),
				states("Cron switched on", "No data: the database does not let the exporter in.", ask{`moodle_cron_enabled{SITE}`, where}).bad(1, false).sized(12, 8),
			}},
			{"What is installed", []*panel{
				table("Release", "none", "No data: no site was found.", "", ask{`moodle_site_info{SITE}`, ""}),
				stat("Security fixes end in", "s", "Of the branch. No data: an unknown branch.", ask{`moodle_site_release_support_end_timestamp_seconds{SITE} - time()`, where}).bad(7776000, false),
				stat("Newer release", "bool_yes_no", "As Moodle itself has found. No data: it has not asked for three days.", ask{`moodle_core_update_available{SITE}`, where}).bad(1, true),
				stat("Plugin updates", "none", "As Moodle itself has found. No data: it has not asked for three days.", ask{`moodle_plugin_updates_available{SITE}`, where}).bad(1, true),
				stat("Plugins without code", "none", "Installed, and the code is gone. No data: no recent look by root.", ask{`moodle_plugins_missing{SITE}`, where}).bad(1, true),
				states("Closed, pending or upgrading", "Maintenance mode, code newer than the database, upgrade running. No data: neither file nor database can be read.",
					ask{`max by (job, instance, site) (moodle_maintenance_mode{SITE})`, "closed, " + where}, ask{`moodle_upgrade_pending{SITE}`, "pending, " + where}, ask{`moodle_upgrade_running{SITE}`, "upgrading, " + where}).bad(1, true).runbook("MoodleUpgradePending").sized(12, 7),
				stat("Announced end of the work", "dateTimeAsIso", "No data: no job is at work.", ask{`moodle_maintenance_planned_until_timestamp_seconds{SITE} * 1000`, where}).runbook("MoodleMaintenanceActive"),
				series("Size", "bytes", "Tables of the database, and all entries of Moodle's table of files (what is stored once and used twice counts twice)."+noDatabase, ask{`moodle_database_schema_bytes{SITE}`, "database, " + where}, ask{`moodle_files_bytes{SITE}`, "files, " + where}),
				series("Files", "none", "Entries of Moodle's table of files."+noDatabase, ask{`moodle_files{SITE}`, where}),
			}},
		},
	}
}
