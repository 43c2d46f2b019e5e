package collector

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
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
		if !there || value < low[name] || value > high {
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

func connectionsOf(t *testing.T, pool *sql.DB) (count int) {
	t.Helper()
	var name string
	if err := pool.QueryRowContext(t.Context(), "SHOW GLOBAL STATUS LIKE 'Connections'").Scan(&name, &count); err != nil {
		t.Fatal(err)
	}
	return count
}

// TestDatabaseConnections: one connection for both collectors and both sites, and none per scrape.
func TestDatabaseConnections(t *testing.T) {
	server, sites := theFleet(t)
	root, err := sql.Open("mysql", server.RootDSN(""))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	root.SetMaxOpenConns(1)
	before := connectionsOf(t, root)
	connections := connect(t)
	engine := New(discard(), time.Now, 0,
		NewDatabase(sitesOf(sites), connections, time.Now, discard()),
		NewSite(SiteSources{Sites: sitesOf(sites), Connections: connections, Clock: time.Now, CLIMaintenance: unknown, UpgradePending: noAnswer}))
	for scrape := range 50 {
		got := gatherValues(t, engine, 10*time.Second)
		if got["scrape_collector_success{database}"] != 1 || got["scrape_collector_success{site}"] != 1 {
			t.Fatalf("scrape %d: %v", scrape, got)
		}
	}
	if opened := connectionsOf(t, root) - before; opened != 1 {
		t.Errorf("50 scrapes opened %d connections, want 1", opened)
	}
}

// TestDatabaseRefused: a wrong password is tried once per scrape for all who use it, and is not repeated.
func TestDatabaseRefused(t *testing.T) {
	server, sites := theFleet(t)
	const wrong = "Tr0ub4dor&3"
	file := filepath.Join(t.TempDir(), "wrong")
	if err := os.WriteFile(file, []byte(wrong), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, site := range sites {
		site.Monitor = config.Account{User: "watcher", PasswordFile: file}
	}
	root, err := sql.Open("mysql", server.RootDSN(""))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	root.SetMaxOpenConns(1)
	before := connectionsOf(t, root)
	var log bytes.Buffer
	c := NewDatabase(sitesOf(sites), connect(t), time.Now, slog.New(slog.NewTextHandler(&log, nil)))
	got, err := seriesOf(t, c)
	if err == nil || got["database_up{"+server.Socket+"}"] != 0 {
		t.Fatalf("with a wrong password: %v (%v)", got, err)
	}
	var answer *mysql.MySQLError
	if !errors.As(err, &answer) || answer.Number != 1045 || !strings.Contains(err.Error(), "watcher") {
		t.Errorf("the error is %v", err)
	}
	if text := err.Error() + log.String(); strings.Contains(text, wrong) || strings.Contains(text, watcherPassword) {
		t.Errorf("the password is told: %s", text)
	}
	if opened := connectionsOf(t, root) - before; opened != 1 {
		t.Errorf("one scrape tried %d logins, want 1", opened)
	}
}

// TestDatabaseSilent: a server that accepts and never answers costs the deadline, one connection, and no more.
func TestDatabaseSilent(t *testing.T) {
	stand.Need(t, stand.MariaDB)
	_, sites := theFleet(t)
	var listener net.ListenConfig
	silent, err := listener.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	ended := make(chan error)
	go func() {
		for {
			conn, err := silent.Accept()
			if err != nil {
				close(ended)
				return
			}
			_, err = conn.Read(make([]byte, 1)) // until the other side hangs up
			ended <- err
		}
	}()
	_, port, _ := net.SplitHostPort(silent.Addr().String())
	for _, site := range sites {
		site.Config.DBSocket, site.Config.DBHost = "", "127.0.0.1"
		site.Config.DBPort, _ = strconv.Atoi(port)
	}
	connections := connect(t)
	engine := New(discard(), time.Now, 0,
		NewDatabase(sitesOf(sites), connections, time.Now, discard()),
		NewSite(SiteSources{Sites: sitesOf(sites), Connections: connections, Clock: time.Now, CLIMaintenance: unknown, UpgradePending: noAnswer}))
	for range 3 {
		got := gatherValues(t, engine, 300*time.Millisecond)
		up, there := got["database_up{"+silent.Addr().String()+"}"]
		if !there || up != 0 || got["scrape_collector_success{database}"] != 0 || got["scrape_collector_success{site}"] != 0 {
			t.Errorf("with a silent server: %v", got)
		}
		if err := <-ended; err == nil {
			t.Error("the server was sent something before it had said anything")
		}
	}
	silent.Close()
	if err, more := <-ended; more {
		t.Errorf("more than one connection per scrape (%v)", err)
	}
}

// TestDatabaseLocked: a table that is locked costs its site the deadline; then all goes on over a new
// connection, and the server does not keep the old statement.
func TestDatabaseLocked(t *testing.T) {
	server, sites := theFleet(t)
	root, err := sql.Open("mysql", server.RootDSN(""))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	locker, err := root.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer locker.Close()
	c := siteCollector(t, sites[:1])
	execute := func(statement string) {
		if _, err := locker.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := once(t, c); err != nil {
		t.Fatal(err)
	}
	execute("LOCK TABLES `" + schema45 + "`.m45_task_scheduled WRITE")
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var emitted buffer
	err = c.Update(ctx, emitted.add)
	families, _ := assemble(emitted.close())
	got := values(families)
	if _, there := got["cron_enabled{lms}"]; err == nil || !there {
		t.Errorf("what was read before the lock is %v (%v)", got, err)
	}
	// With time enough the server itself gives up.
	if _, err := once(t, c); err == nil || !strings.Contains(err.Error(), "Lock wait timeout") {
		t.Errorf("the lock was waited for: %v", err)
	}
	execute("UNLOCK TABLES")
	if _, err := once(t, c); err != nil {
		t.Errorf("after the lock: %v", err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		left := ask(t, server, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER='watcher'")
		if left == "1" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s connections of the exporter are left, want 1", left)
		}
	}
}

// TestDatabaseAccount: the rights that Grants prints suffice, are those and no others, and nothing can be written with them.
func TestDatabaseAccount(t *testing.T) {
	_, sites := theFleet(t)
	if _, err := once(t, databaseCollector(t, sites)); err != nil {
		t.Errorf("the database collector with the rights of Grants: %v", err)
	}
	if _, err := once(t, siteCollector(t, sites)); err != nil {
		t.Errorf("the site collector with the rights of Grants: %v", err)
	}
	login, err := sites[0].MonitorLogin()
	if err != nil {
		t.Fatal(err)
	}
	connector, err := mysql.NewConnector(login.Driver("", time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	pool := sql.OpenDB(connector) // without the guards of a kept connection
	defer pool.Close()
	table := "`" + schema45 + "`.m45_config"
	for _, statement := range []string{
		"INSERT INTO " + table + " (name, value) VALUES ('x', 'y')", "UPDATE " + table + " SET value = ''", "DELETE FROM " + table,
		"CREATE TABLE `" + schema45 + "`.x (id INT)", "DROP TABLE " + table, "SELECT * FROM mysql.global_priv", "SELECT * FROM `moodleX4.5`.other",
		"FLUSH TABLES", "SET GLOBAL max_connections = 1", "STOP SLAVE", "KILL 1",
	} {
		_, err := pool.ExecContext(t.Context(), statement)
		if answer := new(mysql.MySQLError); !errors.As(err, &answer) || !slices.Contains([]uint16{1044, 1095, 1142, 1227, 1094}, answer.Number) {
			t.Errorf("%s: %v, want it denied", statement, err)
		}
	}
	connection, err := connect(t).Of(sites[0])
	if err != nil {
		t.Fatal(err)
	}
	err = connection.Use(t.Context(), func(ctx context.Context, conn *sql.Conn) error {
		_, err := conn.ExecContext(ctx, "CREATE TEMPORARY TABLE x (id INT)")
		if err == nil {
			return errors.New("a temporary table was made")
		}
		var limit, lock float64
		if err := conn.QueryRowContext(ctx, "SELECT @@max_statement_time, @@lock_wait_timeout").Scan(&limit, &lock); err != nil {
			return err
		}
		if limit != 5 || lock != 2 {
			return fmt.Errorf("statements may run %v s and wait %v s for a lock", limit, lock)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestDatabaseSocketAccount: the account that Grants makes lets its system user in without a password, and
// nobody else. The account of the web server stands in for moodle-exporter, which this machine need not have.
func TestDatabaseSocketAccount(t *testing.T) {
	server, sites := theFleet(t)
	if os.Getuid() != 0 {
		t.Skip("not root: cannot log in as another system user")
	}
	web, err := stand.WebUser()
	if err != nil {
		t.Fatal(err)
	}
	for _, site := range sites {
		site.Monitor = config.Account{}
	}
	grants := moodle.Grants(sites, "mariadb")
	for _, text := range []string{grants, grants, strings.ReplaceAll(grants, moodle.MonitorAccount, web.Name)} { // it may be run again
		if err := server.Exec(t.Context(), statements(text)...); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		drop := "DROP USER `" + moodle.MonitorAccount + "`@localhost, `" + web.Name + "`@localhost"
		if err := server.Exec(context.WithoutCancel(t.Context()), drop); err != nil {
			t.Error(err)
		}
	})
	login := func(user string) string {
		client := exec.CommandContext(t.Context(), "mariadb", "--no-defaults", "--socket="+server.Socket, "--user="+user, "-N", "-e",
			"SELECT COUNT(*) FROM `"+schema45+"`.m45_config WHERE name='version'")
		client.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(web.UID), Gid: uint32(web.GID)}}
		answer, _ := client.CombinedOutput()
		return string(answer)
	}
	if answer := login(moodle.MonitorAccount); !strings.Contains(answer, "Access denied") {
		t.Errorf("another system user gets in: %s", answer)
	}
	if answer := login(web.Name); answer != "1\n" {
		t.Errorf("its system user does not get in: %s", answer)
	}
}

// TestDatabaseWithoutPrivilege: an account that may not ask for replication is said so once, and is no failure.
func TestDatabaseWithoutPrivilege(t *testing.T) {
	server, sites := theFleet(t)
	if err := server.Exec(t.Context(), "REVOKE SLAVE MONITOR ON *.* FROM watcher@localhost"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Exec(context.WithoutCancel(t.Context()), "GRANT SLAVE MONITOR ON *.* TO watcher@localhost"); err != nil {
			t.Error(err)
		}
	})
	var log bytes.Buffer
	c := NewDatabase(sitesOf(sites), connect(t), time.Now, slog.New(slog.NewTextHandler(&log, nil)))
	for range 3 {
		if got, err := seriesOf(t, c); err != nil || got["database_up{"+server.Socket+"}"] != 1 {
			t.Fatalf("without SLAVE MONITOR: %v (%v)", got, err)
		}
	}
	if lines := strings.Count(log.String(), "SLAVE MONITOR"); lines != 1 {
		t.Errorf("said %d times:\n%s", lines, log.String())
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
