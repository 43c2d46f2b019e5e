package main

func database() board {
	const where, none = "{{server}} on {{instance}}", " No data: the server does not let the exporter in."
	perSecond := func(metric, legend string) ask { return ask{"rate(" + metric + "{HOST}[$__rate_interval])", legend} }
	return board{
		name: "database", title: "Database", from: "now-6h",
		description: "The MariaDB and MySQL servers of the sites.",
		rows: []row{
			{"Server", []*panel{
				states("Answers", "Whether the server lets the exporter in. No data: no site uses MariaDB or MySQL.", ask{`moodle_database_up{HOST}`, where}).bad(1, false).runbook("MoodleDBDown"),
				table("Servers", "none", none[1:], "", ask{`moodle_database_info{HOST}`, ""}).sized(8, 7),
				table("Sites", "none", "Which site is on which server. No data: no site uses MariaDB or MySQL.", "", ask{`moodle_database_server_info{HOST}`, ""}).sized(8, 7),
				series("Running for", "s", none[1:], ask{`time() - moodle_database_start_time_seconds{HOST}`, where}),
				series("Size of the schemas", "bytes", none[1:], ask{`moodle_database_schema_bytes{HOST}`, "{{site}} on {{instance}}"}),
			}},
			{"Connections", []*panel{
				series("Open", "none", "And how many there may be."+none, ask{`moodle_database_threads_connected{HOST}`, where}, ask{`moodle_database_max_connections{HOST}`, limitPrefix + where}),
				series("In use", "percentunit", "And the limit."+none, ask{`moodle_database_threads_connected{HOST} / moodle_database_max_connections{HOST}`, where}, limit("db_connections_ratio")).between(0, 1).runbook("MoodleDBConnectionsNearLimit"),
				series("Refused, by reason", "ops", none[1:], perSecond("moodle_database_connection_errors_total", "{{error}} "+where)).runbook("MoodleDBRefusingConnections"),
				series("Attempts", "ops", none[1:], perSecond("moodle_database_connections_total", where)),
				series("Failed attempts", "ops", "And the limit."+none, perSecond("moodle_database_aborted_connects_total", where), limit("db_aborted_connects_per_second")).runbook("MoodleDBAbortedConnects"),
			}},
			{"Work", []*panel{
				series("Statements", "ops", none[1:], perSecond("moodle_database_questions_total", where)),
				series("Running at once", "none", "And the limit."+none, ask{`moodle_database_threads_running{HOST}`, where}, limit("db_threads_running")).runbook("MoodleDBThreadsRunningHigh"),
				series("Slow statements", "percentunit", "Part that took longer than long_query_time, and the limit."+none, ask{`rate(moodle_database_slow_queries_total{HOST}[$__rate_interval]) / (rate(moodle_database_questions_total{HOST}[$__rate_interval]) > 0)`, where}, limit("db_slow_query_ratio")).runbook("MoodleDBSlowQueries"),
				series("InnoDB buffer pool", "bytes", "How much of it holds data."+none, ask{`moodle_database_innodb_buffer_pool_data_bytes{HOST}`, where}, ask{`moodle_database_innodb_buffer_pool_bytes{HOST}`, limitPrefix + where}),
				series("Reads from the disk", "percentunit", "Part of the logical reads that the buffer pool could not serve; above 1 % it is too small."+none, ask{`rate(moodle_database_innodb_buffer_pool_reads_total{HOST}[$__rate_interval]) / (rate(moodle_database_innodb_buffer_pool_read_requests_total{HOST}[$__rate_interval]) > 0)`, where}),
			}},
			{"Replication", []*panel{
				states("Runs", "No data: no replica, or the account lacks the right to see it.", ask{`moodle_database_replication_running{HOST}`, where}).bad(1, false).runbook("MoodleDBReplicationStopped").sized(12, 7),
				series("Behind", "s", "And the limit. No data: no replica, or it has stopped.", ask{`moodle_database_replication_lag_seconds{HOST}`, where}, limit("db_replication_lag_seconds")).runbook("MoodleDBReplicationLag").sized(12, 7),
			}},
		},
	}
}
