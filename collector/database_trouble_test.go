package collector

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

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
	waitFor(t, "the old connection to go", func() bool {
		return ask(t, server, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER='watcher'") == "1"
	})
}

// TestDatabaseStopped: a server that falls silent on the kept connection costs the deadline, and is read again
// once it is back.
func TestDatabaseStopped(t *testing.T) {
	server, sites := theFleet(t)
	connections := connect(t)
	engine := New(discard(), time.Now, 0,
		NewDatabase(sitesOf(sites), connections, time.Now, discard()),
		NewSite(SiteSources{Sites: sitesOf(sites), Connections: connections, Clock: time.Now, CLIMaintenance: unknown, UpgradePending: noAnswer}))
	up := "database_up{" + server.Socket + "}"
	if got := gatherValues(t, engine, 10*time.Second); got[up] != 1 {
		t.Fatal(got)
	}
	if err := syscall.Kill(server.Pid(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer syscall.Kill(server.Pid(), syscall.SIGCONT)
	for range 3 {
		got := gatherValues(t, engine, 500*time.Millisecond)
		if value, there := got[up]; !there || value != 0 || got["scrape_collector_success{site}"] != 0 {
			t.Errorf("while the server stands still: %v", got)
		}
	}
	if err := syscall.Kill(server.Pid(), syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if got := gatherValues(t, engine, 10*time.Second); got[up] != 1 || got["scrape_collector_success{site}"] != 1 {
		t.Errorf("after the server went on: %v", got)
	}
	waitFor(t, "the old connections to go", func() bool {
		return ask(t, server, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER='watcher'") == "1"
	})
}
