package collector

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

func databaseCollector(t *testing.T, sites []*moodle.Site) *Database {
	t.Helper()
	return NewDatabase(sitesOf(sites), connect(t), time.Now, discard())
}

// TestDatabaseValues compares with queries that were written apart from the collector's. What moves must lie
// between the answers before and after.
func TestDatabaseValues(t *testing.T) {
	server, sites := theFleet(t)
	c := databaseCollector(t, sites)
	status := func(name string) string {
		return "select variable_value from information_schema.global_status where variable_name='" + name + "'"
	}
	size := "select sum(data_length)+sum(index_length) from information_schema.tables where table_schema="
	queries := map[string]string{
		"database_up{%s}":                                                      "select 1",
		"database_threads_running{%s}":                                         status("threads_running"),
		"database_max_connections{%s}":                                         "select @@max_connections",
		"database_start_time_seconds{%s}":                                      "select unix_timestamp()-variable_value from information_schema.global_status where variable_name='uptime'",
		"database_connections_total{%s}":                                       status("connections"),
		"database_aborted_connects_total{%s}":                                  status("aborted_connects"),
		"database_slow_queries_total{%s}":                                      status("slow_queries"),
		"database_questions_total{%s}":                                         status("questions"),
		"database_innodb_buffer_pool_bytes{%s}":                                "select @@innodb_buffer_pool_size",
		"database_innodb_buffer_pool_data_bytes{%s}":                           status("innodb_buffer_pool_bytes_data"),
		"database_innodb_buffer_pool_reads_total{%s}":                          status("innodb_buffer_pool_reads"),
		"database_innodb_buffer_pool_read_requests_total{%s}":                  status("innodb_buffer_pool_read_requests"),
		"database_info{mariadb,%s," + ask(t, server, "select version()") + "}": "select 1",
		"database_server_info{%s,lms}":                                         "select 1",
		"database_server_info{%s,campus}":                                      "select 1",
		"database_schema_bytes{lms}":                                           size + sqlText(schema45),
		"database_schema_bytes{campus}":                                        size + sqlText(schema51),
	}
	for _, reason := range []string{"accept", "internal", "max_connections", "peer_address", "select", "tcpwrap"} {
		queries["database_connection_errors_total{"+reason+",%s}"] = status("connection_errors_" + reason)
	}
	if _, err := once(t, c); err != nil { // the collector's connection is there from now on
		t.Fatal(err)
	}
	queries["database_threads_connected{%s}"] = status("threads_connected")
	low := make(map[string]float64)
	for name, query := range queries {
		low[name] = askNumber(t, server, query)
	}
	page, err := once(t, c)
	if err != nil {
		t.Fatal(err)
	}
	lint(t, page)
	families, _ := page.Gather()
	got := values(families)
	for name, query := range queries {
		high := askNumber(t, server, query)
		series := strings.ReplaceAll(name, "%s", server.Socket)
		value, there := got[series]
		// The client that asks is a connection of its own.
		if name == "database_threads_connected{%s}" || name == "database_threads_running{%s}" {
			value++
			high, low[name] = max(high, low[name]+1), low[name]-1
		}
		// What the server holds may become less in between.
		if !there || value < min(low[name], high) || value > max(low[name], high) {
			t.Errorf("%s is %v (there: %v), the queries say %v to %v", series, value, there, low[name], high)
		}
		delete(got, series)
	}
	for name := range got {
		t.Errorf("%s was not asked for", name)
	}
}

// TestDatabaseStartTime: constant from scrape to scrape, another one after a restart, and the kept connection
// is renewed by itself.
func TestDatabaseStartTime(t *testing.T) {
	server, sites := theFleet(t)
	c := databaseCollector(t, sites)
	start := func() float64 {
		got, err := seriesOf(t, c)
		if err != nil {
			t.Fatal(err)
		}
		return got["database_start_time_seconds{"+server.Socket+"}"]
	}
	first := start()
	for second := time.Now().Unix(); time.Now().Unix() < second+2; {
		if now := start(); now != first {
			t.Fatalf("the start time moved from %v to %v without a restart", first, now)
		}
	}
	if err := server.Stop(); err != nil {
		t.Fatal(err)
	}
	got, err := seriesOf(t, c)
	want := map[string]float64{
		"database_up{" + server.Socket + "}": 0, "database_server_info{" + server.Socket + ",lms}": 1, "database_server_info{" + server.Socket + ",campus}": 1,
	}
	if err == nil || !maps.Equal(got, want) {
		t.Errorf("while the server is down: %v (%v), want %v", got, err, want)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	if again := start(); again <= first {
		t.Errorf("the start time is %v after a restart, and was %v before", again, first)
	}
}

// TestDatabaseReplica makes the server the replica of another one.
func TestDatabaseReplica(t *testing.T) {
	server, sites := theFleet(t)
	source, err := stand.StartMariaDB(t.Context(), stand.TempDir(t), stand.MariaDBOptions{Settings: []string{"--server-id=2", "--log-bin=binlog"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = source.Close() })
	position := strings.Fields(ask(t, source, "SHOW MASTER STATUS"))
	err = errors.Join(
		source.Exec(t.Context(), "CREATE USER copier@'127.0.0.1' IDENTIFIED BY 'x'", "GRANT REPLICATION SLAVE ON *.* TO copier@'127.0.0.1'"),
		server.Exec(t.Context(), fmt.Sprintf("CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=%d, MASTER_USER='copier', MASTER_PASSWORD='x',"+
			" MASTER_LOG_FILE='%s', MASTER_LOG_POS=%s", source.Port, position[0], position[1])))
	t.Cleanup(func() {
		if err := server.Exec(context.WithoutCancel(t.Context()), "STOP SLAVE", "RESET SLAVE ALL"); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	c := databaseCollector(t, sites)
	running, lag := "database_replication_running{"+server.Socket+"}", "database_replication_lag_seconds{"+server.Socket+"}"
	got, err := seriesOf(t, c)
	if value, there := got[running]; err != nil || !there || value != 0 {
		t.Errorf("a replica that stands still: %v, %v (%v)", value, there, err)
	}
	if _, there := got[lag]; there {
		t.Error("a replica that stands still has a lag")
	}
	if err := server.Exec(t.Context(), "START SLAVE"); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; {
		got, err := seriesOf(t, c)
		if value, there := got[lag]; err == nil && got[running] == 1 && there && value == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the replica does not run: %v (%v): %s", got, err, ask(t, server, `SHOW ALL SLAVES STATUS\G`))
		}
	}
}

// TestDatabaseSizeCadence: a size is measured every five minutes only, a failure earlier.
func TestDatabaseSizeCadence(t *testing.T) {
	server, sites := theFleet(t)
	now := time.Now()
	c := NewDatabase(sitesOf(sites), connect(t), func() time.Time { return now }, discard())
	size := func() float64 {
		got, err := seriesOf(t, c)
		if err != nil {
			t.Fatal(err)
		}
		return got["database_schema_bytes{lms}"]
	}
	first := size()
	if err := server.Exec(t.Context(), "CREATE TABLE `"+schema45+"`.more (id INT)"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Exec(context.WithoutCancel(t.Context()), "DROP TABLE `"+schema45+"`.more"); err != nil {
			t.Error(err)
		}
	})
	now = now.Add(sizeCadence - time.Second)
	if again := size(); again != first {
		t.Errorf("measured again after less than five minutes: %v, then %v", first, again)
	}
	now = now.Add(time.Second)
	if again := size(); again <= first {
		t.Errorf("not measured again after five minutes: %v, then %v", first, again)
	}
	sites[0].Config.DBName = "moodleX4.5" // not readable
	if got, err := seriesOf(t, c); err == nil || got["database_up{"+server.Socket+"}"] != 1 || got["database_schema_bytes{campus}"] == 0 {
		t.Errorf("with a schema that may not be read: %v (%v)", got, err)
	}
}
