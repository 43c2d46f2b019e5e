package alerts_test

func backupSituations() []situation {
	return []situation{
		{
			alert: "MoodleBackupTooOld",
			conditions: []condition{
				{series: "moodle_backup_last_success_timestamp_seconds", bad: "-700000", good: "0"},
				{series: "moodle_backup_max_age_seconds", bad: "691200", good: "9000000"},
				{series: "moodle_backup_enabled", bad: "1", good: "0"},
			},
			silent: []string{"9m"}, fires: "14m",
		},
		{
			alert: "MoodleBackupFailed",
			conditions: []condition{
				{series: `moodle_job_last_result{name="backup"}`, bad: "0", good: "1", pinned: "name"},
			},
			silent: []string{"4m"}, fires: "8m",
		},
		{
			alert: "MoodleBackupNeverSucceeded", step: "15m",
			conditions: []condition{
				{series: "moodle_backup_enabled", bad: "1", good: "0"},
				{series: `moodle_backup_last_success_timestamp_seconds{component="all"}`, bad: "", good: "0", pinned: "component"},
			},
			others: []string{
				`moodle_backup_last_success_timestamp_seconds{component="database"} 0`,
			},
			silent: []string{"1500m"}, fires: "1650m",
		},
		{
			alert: "MoodleBackupStuck",
			conditions: []condition{
				{series: `moodle_job_running{name="backup"}`, bad: "1", good: "0", pinned: "name"},
				{series: `moodle_job_last_start_timestamp_seconds{name="backup"}`, bad: "-10000", good: "-10", pinned: "name"},
				{series: "moodle_backup_baseline_duration_seconds", bad: "100", good: "100000"},
			},
			silent: []string{"4m"}, fires: "8m",
		},
		{
			alert: "MoodleBackupShrunk",
			conditions: []condition{
				{series: `moodle_backup_last_size_bytes{component="files"}`, bad: "10", good: "100"},
				{series: `moodle_backup_baseline_size_bytes{component="files"}`, bad: "100", good: "10"},
			},
			others: []string{
				`moodle_backup_last_size_bytes{component="logs"} 1`,
				`moodle_backup_baseline_size_bytes{component="logs"} 100`,
			},
			silent: []string{"4m"}, fires: "8m",
		},
		{
			alert: "MoodleBackupDurationGrowing",
			conditions: []condition{
				{series: `moodle_job_last_duration_seconds{name="backup"}`, bad: "2000", good: "100", pinned: "name"},
				{series: "moodle_backup_baseline_duration_seconds", bad: "500", good: "5000"},
			},
			others: []string{
				`moodle_job_last_duration_seconds{site="small", name="backup"} 800`,
				`moodle_backup_baseline_duration_seconds{site="small"} 100`,
			},
			silent: []string{"4m"}, fires: "8m",
		},
		{
			alert: "MoodleBackupFilesMissing",
			conditions: []condition{
				{series: "moodle_backup_missing_files", bad: "214", good: "0"},
				{series: "moodle_backup_missing_files_accepted", bad: "0", good: "1000"},
			},
			silent: []string{"9m"}, fires: "14m",
		},
		{
			alert: "MoodleBackupVerifyFailed", name: "by its result",
			conditions: []condition{
				{series: "moodle_backup_last_verify_result", bad: "0", good: "1"},
			},
			silent: []string{"0m"}, fires: "5m",
		},
		{
			alert: "MoodleBackupVerifyFailed", name: "by damaged files",
			conditions: []condition{
				{series: "moodle_backup_damaged_files", bad: "3", good: "0"},
			},
			others: []string{
				"moodle_backup_last_verify_result{} 1",
			},
			silent: []string{"0m"}, fires: "5m",
		},
		{
			alert: "MoodleBackupUnverified",
			conditions: []condition{
				{series: "moodle_backup_last_verify_success_timestamp_seconds", bad: "-2000000", good: "0"},
				{series: "moodle_backup_verify_max_age_seconds", bad: "1296000", good: "9000000"},
				{series: "moodle_backup_enabled", bad: "1", good: "0"},
			},
			silent: []string{"9m"}, fires: "14m",
		},
		{
			alert: "MoodleBackupOffsiteNeverSucceeded", step: "15m",
			conditions: []condition{
				{series: "moodle_backup_offsite_enabled", bad: "1", good: "0"},
				{series: "moodle_backup_offsite_last_success_timestamp_seconds", bad: "", good: "0"},
			},
			silent: []string{"1500m"}, fires: "1650m",
		},
		{
			alert: "MoodleBackupOffsiteStale",
			conditions: []condition{
				{series: "moodle_backup_offsite_last_success_timestamp_seconds", bad: "-700000", good: "0"},
				{series: `moodle_backup_max_age_seconds{component="all"}`, bad: "691200", good: "9000000", pinned: "component"},
				{series: "moodle_backup_offsite_enabled", bad: "1", good: "0"},
			},
			silent: []string{"29m"}, fires: "35m",
		},
		{
			alert: "MoodleRestoreDrillFailed",
			conditions: []condition{
				{series: "moodle_restore_drill_last_result", bad: "0", good: "1"},
			},
			silent: []string{"0m"}, fires: "5m",
		},
		{
			alert: "MoodleRestoreDrillTooOld",
			conditions: []condition{
				{series: "moodle_restore_drill_last_success_timestamp_seconds", bad: "-4000000", good: "0"},
				{series: "moodle_restore_drill_max_age_seconds", bad: "3024000", good: "90000000"},
			},
			silent: []string{"59m"}, fires: "65m",
		},
		{
			alert: "MoodleUpdateFailed",
			conditions: []condition{
				{series: `moodle_job_last_result{name="update"}`, bad: "0", good: "1", pinned: "name"},
			},
			silent: []string{"0m"}, fires: "5m",
		},
		{
			alert: "MoodleRestoreFailed",
			conditions: []condition{
				{series: `moodle_job_last_result{name="restore"}`, bad: "0", good: "1", pinned: "name"},
			},
			silent: []string{"0m"}, fires: "5m",
		},
		{
			alert: "MoodleJobFailed",
			conditions: []condition{
				{series: `moodle_job_last_result{name="copy"}`, bad: "0", good: "1", pinned: "name"},
			},
			silent: []string{"14m"}, fires: "20m",
		},
	}
}
