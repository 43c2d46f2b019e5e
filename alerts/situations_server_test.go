package alerts_test

func serverSituations() []situation {
	return []situation{
		{
			alert: "MoodleServiceDown",
			conditions: []condition{
				{series: "moodle_service_up", bad: "0", good: "1"},
			},
			others: []string{
				`moodle_service_up{unit="flaps.service"} 0 1 0 0 1 0 0 1 0 0 1 0 0 1 0 0 1 0 0 1 0 0 1 0 0 1 0`,
			},
			silent: []string{"1m"}, fires: "5m", ending: "0x9 1", still: "11m", over: "20m",
		},
		{
			alert: "MoodleServiceFlapping",
			conditions: []condition{
				{series: "moodle_service_start_time_seconds", bad: "0+1", good: "0"},
			},
			fires: "11m", ending: "0+1x12 12", still: "80m", over: "120m",
		},
		{
			alert: "MoodleDBDown",
			conditions: []condition{
				{series: "moodle_database_up", bad: "0", good: "1"},
			},
			others: []string{
				`moodle_database_up{server="flaps"} 0 1 0 0 1 0 0 1 0 0 1 0 0 1 0 0 1 0 0 1 0 0 1 0 0 1 0`,
			},
			silent: []string{"2m"}, fires: "5m", ending: "0x9 1", still: "11m", over: "20m",
		},
		{
			alert: "MoodleDBConnectionsNearLimit",
			conditions: []condition{
				{series: "moodle_database_threads_connected", bad: "90", good: "9"},
				{series: "moodle_database_max_connections", bad: "100", good: "1000"},
				threshold("db_connections_ratio", "0.8", "0.95"),
			},
			others: []string{
				`moodle_database_threads_connected{server="db9"} 79`,
				`moodle_database_max_connections{server="db9"} 100`,
			},
			silent: []string{"4m"}, fires: "11m",
		},
		{
			alert: "MoodleDBRefusingConnections",
			conditions: []condition{
				{series: `moodle_database_connection_errors_total{error="max_connections"}`, bad: "0x3 5", good: "0", pinned: "error"},
			},
			fires: "5m", still: "20m", over: "30m",
		},
		{
			alert: "MoodleDBThreadsRunningHigh",
			conditions: []condition{
				{series: "moodle_database_threads_running", bad: "50", good: "5"},
				threshold("db_threads_running", "40", "400"),
			},
			others: []string{
				`moodle_database_threads_running{server="db9"} 50 50 50 50 50 50 5 50 50 50 50 50`,
			},
			silent: []string{"4m"}, fires: "11m",
		},
		{
			alert: "MoodleDBSlowQueries",
			conditions: []condition{
				{series: "moodle_database_slow_queries_total", bad: "0+10", good: "0"},
				{series: "moodle_database_questions_total", bad: "0+100", good: "0+10000"},
				threshold("db_slow_query_ratio", "0.05", "0.5"),
				{series: `moodle_job_running{name="backup"}`, bad: "0", good: "1", pinned: "name"},
			},
			others: []string{
				`moodle_job_running{name="verify"} 1`,
				`moodle_database_slow_queries_total{instance="web9:10059"} 0+10`,
				`moodle_database_questions_total{instance="web9:10059"} 0+100`,
				`moodle_threshold{instance="web9:10059", name="db_slow_query_ratio"} 0.05`,
				`moodle_job_running{instance="web9:10059", name="backup"} 1x22 0`,
			},
			shared: []string{"site"}, silent: []string{"15m"}, fires: "44m",
		},
		{
			alert: "MoodleDBAbortedConnects",
			conditions: []condition{
				{series: "moodle_database_aborted_connects_total", bad: "0+60", good: "0"},
				threshold("db_aborted_connects_per_second", "0.1", "10"),
			},
			silent: []string{"15m"}, fires: "35m",
		},
		{
			alert: "MoodleDBReplicationStopped",
			conditions: []condition{
				{series: "moodle_database_replication_running", bad: "0", good: "1"},
			},
			silent: []string{"1m"}, fires: "5m", ending: "0x9 1", still: "11m", over: "20m",
		},
		{
			alert: "MoodleDBReplicationLag",
			conditions: []condition{
				{series: "moodle_database_replication_lag_seconds", bad: "100+1", good: "10"},
				threshold("db_replication_lag_seconds", "60", "6000"),
			},
			others: []string{
				`moodle_database_replication_lag_seconds{server="db9"} 5000-10`,
			},
			silent: []string{"10m"}, fires: "14m",
		},
		{
			alert: "MoodleRedisDown",
			conditions: []condition{
				{series: "moodle_redis_up", bad: "0", good: "1"},
			},
			others: []string{
				`moodle_redis_up{server="flaps"} 0 1 0 0 1 0 0 1 0 0 1 0 0 1 0 0 1 0 0 1 0 0 1 0 0 1 0`,
			},
			silent: []string{"2m"}, fires: "5m", ending: "0x9 1", still: "11m", over: "20m",
		},
		{
			alert: "MoodleRedisEvicting",
			conditions: []condition{
				{series: `moodle_redis_evicted_keys_total{role="session"}`, bad: "0x3 5", good: "0", pinned: "role"},
			},
			fires: "5m", still: "41m", over: "60m",
		},
		{
			alert: "MoodleRedisMemoryNearLimit",
			conditions: []condition{
				{series: "moodle_redis_memory_used_bytes", bad: "95", good: "10"},
				{series: "moodle_redis_memory_max_bytes", bad: "100", good: "1000"},
			},
			others: []string{
				`moodle_redis_memory_used_bytes{server="unlimited"} 95`,
				`moodle_redis_memory_max_bytes{server="unlimited"} 0`,
			},
			silent: []string{"14m"}, fires: "20m",
		},
		{
			alert: "MoodleRedisRejectingConnections",
			conditions: []condition{
				{series: "moodle_redis_rejected_connections_total", bad: "0x3 5", good: "0"},
			},
			fires: "5m", still: "20m", over: "30m",
		},
	}
}
