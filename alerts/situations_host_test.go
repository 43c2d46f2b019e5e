package alerts_test

func hostSituations() []situation {
	return []situation{
		{
			alert: "MoodleHostCPUBusy",
			conditions: []condition{
				{series: `moodle_host_cpu_seconds_total{mode="idle"}`, bad: "0+2", good: "0+57"},
				{series: `moodle_host_cpu_seconds_total{mode="user"}`, bad: "0+57", good: "0+2"},
				{series: `moodle_host_cpu_seconds_total{mode="iowait"}`, bad: "0+1", good: "0+57"},
				threshold("cpu_busy_ratio", "0.9", "0.99"),
			},
			silent: []string{"29m"}, fires: "35m",
		},
		{
			alert: "MoodleHostMemoryLow",
			conditions: []condition{
				{series: "moodle_host_memory_available_bytes", bad: "5", good: "50"},
				{series: "moodle_host_memory_total_bytes", bad: "100", good: "10"},
				threshold("memory_available_ratio", "0.1", "0.01"),
			},
			silent: []string{"9m"}, fires: "14m",
		},
		{
			alert: "MoodleHostOOMKill",
			conditions: []condition{
				{series: "moodle_host_oom_kills_total", bad: "0x3 1", good: "0"},
			},
			fires: "5m", still: "50m", over: "100m",
		},
		{
			alert: "MoodleDiskSpaceLow",
			conditions: []condition{
				{series: "moodle_host_filesystem_avail_bytes", bad: "4", good: "50"},
				{series: "moodle_host_filesystem_size_bytes", bad: "100", good: "5"},
				threshold("disk_free_ratio_warning", "0.05", "0.01"),
				{series: "moodle_host_filesystem_readonly", bad: "0", good: "1"},
			},
			silent: []string{"14m"}, fires: "20m",
		},
		{
			alert: "MoodleDiskSpaceCritical",
			conditions: []condition{
				{series: "moodle_host_filesystem_avail_bytes", bad: "4", good: "50"},
				{series: "moodle_host_filesystem_size_bytes", bad: "100", good: "5"},
				threshold("disk_free_ratio_critical", "0.05", "0.01"),
				{series: "moodle_host_filesystem_readonly", bad: "0", good: "1"},
			},
			silent: []string{"4m"}, fires: "8m",
		},
		{
			alert: "MoodleDiskFillingUp", step: "4m",
			conditions: []condition{
				{series: "moodle_host_filesystem_avail_bytes", bad: "300-0.5", good: "300"},
				{series: "moodle_host_filesystem_size_bytes", bad: "1000", good: "400"},
				{series: "moodle_host_filesystem_readonly", bad: "0", good: "1"},
			},
			others: []string{
				`moodle_host_filesystem_avail_bytes{mountpoint="/burst"} 390-20x9 210`,
				`moodle_host_filesystem_size_bytes{mountpoint="/burst"} 1000`,
				`moodle_host_filesystem_readonly{mountpoint="/burst"} 0`,
			},
			silent: []string{"300m", "400m"}, fires: "488m",
		},
		{
			alert: "MoodleDiskInodesLow",
			conditions: []condition{
				{series: "moodle_host_filesystem_files_free", bad: "4", good: "50"},
				{series: "moodle_host_filesystem_files", bad: "100", good: "10"},
			},
			silent: []string{"14m"}, fires: "20m",
		},
		{
			alert: "MoodleDiskInodesFillingUp", step: "4m",
			conditions: []condition{
				{series: "moodle_host_filesystem_files_free", bad: "300-0.5", good: "300"},
				{series: "moodle_host_filesystem_files", bad: "1000", good: "400"},
			},
			others: []string{
				`moodle_host_filesystem_files_free{mountpoint="/burst"} 390-20x9 210`,
				`moodle_host_filesystem_files{mountpoint="/burst"} 1000`,
			},
			silent: []string{"300m", "400m"}, fires: "488m",
		},
		{
			alert: "MoodleDiskReadOnly",
			conditions: []condition{
				{series: "moodle_host_filesystem_readonly", bad: "1", good: "0"},
				{series: `moodle_host_filesystem_role_info{role="moodledata"}`, bad: "1", good: ""},
			},
			shared: []string{"fstype"}, silent: []string{"1m"}, fires: "5m",
		},
		{
			alert: "MoodleDiskNotResponding",
			conditions: []condition{
				{series: "moodle_host_filesystem_responding", bad: "0", good: "1"},
				{series: `moodle_host_filesystem_role_info{role="moodledata"}`, bad: "1", good: ""},
			},
			shared: []string{"fstype"}, silent: []string{"1m"}, fires: "5m",
		},
		{
			alert: "MoodleDiskCannotHoldNextBackup",
			conditions: []condition{
				{series: "moodle_host_filesystem_avail_bytes", bad: "100", good: "1000"},
				{series: `moodle_host_filesystem_role_info{role="backup"}`, bad: "1", good: "", pinned: "role"},
				{series: `moodle_backup_last_written_bytes{component="all"}`, bad: "100", good: "10", pinned: "component"},
				{series: "moodle_backups", bad: "2", good: "1"},
			},
			others: []string{
				`moodle_host_filesystem_avail_bytes{instance="web9:10059"} 100`,
				`moodle_host_filesystem_role_info{instance="web9:10059", role="backup"} 1`,
				`moodle_backup_last_written_bytes{instance="web9:10059", site="first"} 1000`,
				`moodle_backup_last_written_bytes{instance="web9:10059", site="old"} 10`,
				`moodle_backups{instance="web9:10059", site="first"} 1`,
				`moodle_backups{instance="web9:10059", site="old"} 9`,
			},
			shared: []string{"site"}, silent: []string{"29m"}, fires: "35m",
		},
	}
}
