package statuspage

import "fmt"

// servers agrees with MoodleDBDown.
func servers(v *view) []Line {
	var lines []Line
	for _, server := range v.values("server", "database_up", "database_server_info") {
		up, known := v.get("database_up", "server", server)
		switch {
		case !known:
			lines = append(lines, missing(server, "database_up"))
		case up == 0:
			lines = append(lines, databaseDown(v, server))
		default:
			value := "up"
			for _, info := range v.all("database_info", "server", server) {
				value = fmt.Sprintf("up, %s %s", info.labels["flavor"], info.labels["version"])
			}
			if start, found := v.get("database_start_time_seconds", "server", server); found {
				age, _ := v.age(start)
				value += fmt.Sprintf(", for %s", span(age))
			}
			lines = append(lines, Line{Level: OK, Subject: server, Value: value})
		}
	}
	if len(lines) == 0 && v.is(1, "scrape_collector_success", "collector", "database") {
		lines = append(lines, Line{Level: Info, Subject: "servers", Value: "no site uses MariaDB or MySQL"})
	}
	return lines
}

func databaseDown(v *view, server string) Line {
	return Line{
		Level: Critical, Subject: server, Value: "does not let the exporter in", Runbook: "MoodleDBDown",
		Advice: "If the server is down, the sites are down with it; if only the exporter's account is refused, they work and are not watched: " +
			"`moodle-exporter config grants` prints the SQL for the account." + v.because("database"),
	}
}

// ofServer names the server beside its subject if there are several.
func (v *view) ofServer(subject, server string) string {
	if len(v.samples["database_up"]) > 1 {
		return subject + " of " + server
	}
	return subject
}

// connections speaks up before Moodle is refused a connection.
func connections(v *view) []Line {
	var lines []Line
	for _, up := range v.all("database_up") {
		if up.value == 0 {
			continue
		}
		server := up.labels["server"]
		subject := v.ofServer("connections", server)
		open, known := v.get("database_threads_connected", "server", server)
		most, bounded := v.get("database_max_connections", "server", server)
		if !known || !bounded || most <= 0 {
			lines = append(lines, missing(subject, "database_threads_connected"))
			continue
		}
		value := fmt.Sprintf("%.0f of %.0f", open, most)
		limit, set := v.threshold("db_connections_ratio")
		switch {
		case !set:
			lines = append(lines, noThreshold(subject, value, "db_connections_ratio"))
		case open/most > limit:
			lines = append(lines, Line{
				Level: Warning, Subject: subject, Value: value, Runbook: "MoodleDBConnectionsNearLimit",
				Advice: "When none is left, users see \"Database connection failed\". The sum of `pm.max_children` of all PHP-FPM pools plus cron must stay below max_connections.",
			})
		default:
			lines = append(lines, Line{Level: OK, Subject: subject, Value: value})
		}
	}
	return lines
}

// replication says nothing on a server that is no replica.
func replication(v *view) []Line {
	var lines []Line
	for _, running := range v.all("database_replication_running") {
		server := running.labels["server"]
		subject := v.ofServer("replication", server)
		lag, known := v.get("database_replication_lag_seconds", "server", server)
		limit, set := v.threshold("db_replication_lag_seconds")
		switch {
		case running.value == 0:
			lines = append(lines, Line{
				Level: Critical, Subject: subject, Value: "stopped", Runbook: "MoodleDBReplicationStopped",
				Advice: "The replica no longer follows its source and grows older. `SHOW REPLICA STATUS` on it names the error.",
			})
		case !known:
			lines = append(lines, missing(subject, "database_replication_lag_seconds"))
		case !set:
			lines = append(lines, noThreshold(subject, span(lag)+" behind", "db_replication_lag_seconds"))
		case lag > limit:
			lines = append(lines, Line{
				Level: Warning, Subject: subject, Value: span(lag) + " behind", Runbook: "MoodleDBReplicationLag",
				Advice: "Whatever reads from the replica sees old data. Look for a long transaction or a slow disk on it.",
			})
		default:
			lines = append(lines, Line{Level: OK, Subject: subject, Value: span(lag) + " behind"})
		}
	}
	return lines
}

func schemaSize(v *view, site string) []Line {
	bytes, known := v.get("database_schema_bytes", "site", site)
	if !known {
		return nil
	}
	return []Line{{Level: Info, Subject: "schema", Value: "about " + size(bytes)}}
}
