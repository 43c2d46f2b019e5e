package alerts_test

func siteSituations() []situation {
	return []situation{
		{
			alert: "MoodleCronNotRunning", name: "for long",
			conditions: []condition{
				{series: "moodle_cron_last_start_timestamp_seconds", bad: "-2000", good: "0+60"},
				threshold("cron_max_age_seconds", "900", "90000"),
			},
			silent: []string{"4m"}, fires: "8m",
		},
		{
			alert: "MoodleCronNotRunning", name: "ever",
			conditions: []condition{
				{series: "moodle_cron_enabled", bad: "1", good: ""},
				{series: "moodle_cron_last_start_timestamp_seconds", bad: "", good: "0+60"},
			},
			silent: []string{"4m"}, fires: "8m",
		},
		{
			alert: "MoodleTaskQueueDelayed",
			conditions: []condition{
				{series: "moodle_task_adhoc_oldest_age_seconds", bad: "4000+60", good: "10"},
				threshold("task_queue_age_seconds", "3600", "90000"),
			},
			others: []string{
				`moodle_task_adhoc_oldest_age_seconds{site="draining"} 9000-10`,
			},
			silent: []string{"30m"}, fires: "35m",
		},
		{
			alert: "MoodleTaskFailing",
			conditions: []condition{
				{series: "moodle_task_fail_delay_seconds", bad: "7200", good: "60"},
			},
			silent: []string{"14m"}, fires: "20m",
		},
		{
			alert: "MoodleLeftInMaintenance", name: "by hand",
			conditions: []condition{
				{series: `moodle_maintenance_mode{kind="cli"}`, bad: "1", good: "0"},
				{series: "moodle_maintenance_planned_until_timestamp_seconds", bad: "", good: "100000"},
			},
			silent: []string{"14m"}, fires: "20m",
		},
		{
			alert: "MoodleLeftInMaintenance", name: "by a job",
			conditions: []condition{
				{series: `moodle_maintenance_mode{kind="cli"}`, bad: "1", good: "0"},
				{series: "moodle_maintenance_planned_until_timestamp_seconds", bad: "60", good: "100000"},
				{series: `moodle_maintenance_planned_until_timestamp_seconds{site=""}`, bad: "60", good: "100000", pinned: "site"},
			},
			silent: []string{"15m"}, fires: "20m",
		},
		{
			alert: "MoodleUpgradePending",
			conditions: []condition{
				{series: "moodle_upgrade_pending", bad: "1", good: "0"},
				{series: "moodle_maintenance_planned_until_timestamp_seconds", bad: "60", good: "100000"},
				{series: `moodle_maintenance_planned_until_timestamp_seconds{site=""}`, bad: "60", good: "100000", pinned: "site"},
				{series: "moodle_upgrade_running", bad: "0", good: "1"},
			},
			silent: []string{"15m"}, fires: "20m",
		},
		{
			alert: "MoodleWebProbeFailing",
			conditions: []condition{
				{series: "moodle_web_probe_success", bad: "0", good: "1"},
			},
			others: []string{
				`moodle_web_probe_success{site="flaps"} 0 1 0 0 1 0 0 1 0 0 1 0 0 1 0 0 1 0 0 1 0 0 1 0 0 1 0`,
			},
			silent: []string{"1m"}, fires: "5m", ending: "0x9 1", still: "14m", over: "25m",
		},
		{
			alert: "MoodleWebSlow",
			conditions: []condition{
				{series: "moodle_web_probe_duration_seconds", bad: "5", good: "1"},
				{series: "moodle_web_probe_success", bad: "1", good: "0"},
				threshold("web_slow_seconds", "3", "100"),
			},
			silent: []string{"4m"}, fires: "8m",
		},
		{
			alert: "MoodleFPMQueueing",
			conditions: []condition{
				{series: "moodle_phpfpm_listen_queue", bad: "5", good: "0"},
			},
			others: []string{
				`moodle_phpfpm_listen_queue{pool="short"} 5 0 5 5 0 5 5 0 5 5 0 5 5 0 5 5 0 5 5 0 5 5 0 5`,
			},
			silent: []string{"2m"}, fires: "5m", ending: "5x9 0", still: "10m", over: "20m",
		},
		{
			alert: "MoodleFPMSaturated",
			conditions: []condition{
				{series: `moodle_phpfpm_processes{state="active"}`, bad: "5", good: "1", pinned: "state"},
				{series: "moodle_phpfpm_max_children", bad: "5", good: "50"},
			},
			silent: []string{"4m"}, fires: "8m",
		},
		{
			alert: "MoodleFPMMaxChildrenReached",
			conditions: []condition{
				{series: "moodle_phpfpm_max_children_reached_total", bad: "0x3 2", good: "0"},
			},
			fires: "5m", still: "41m", over: "60m",
		},
	}
}
