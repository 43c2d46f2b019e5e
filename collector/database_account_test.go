package collector

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

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
}

// TestDatabaseGuards: even the server's administrator cannot write over a kept connection.
func TestDatabaseGuards(t *testing.T) {
	server, sites := theFleet(t)
	connections := moodle.NewConnections(func(*moodle.Site) (moodle.Login, error) {
		return moodle.Login{User: server.RootUser(), Network: "unix", Address: server.Socket}, nil
	})
	defer connections.Close()
	connection, err := connections.Of(sites[0])
	if err != nil {
		t.Fatal(err)
	}
	err = connection.Use(t.Context(), func(ctx context.Context, conn *sql.Conn) error {
		_, err := conn.ExecContext(ctx, "UPDATE `"+schema45+"`.m45_config SET value = value")
		if answer := new(mysql.MySQLError); !errors.As(err, &answer) || answer.Number != 1792 { // ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION
			t.Errorf("a kept connection writes: %v", err)
		}
		var limit, lock float64
		if err := conn.QueryRowContext(ctx, "SELECT @@max_statement_time, @@lock_wait_timeout").Scan(&limit, &lock); err != nil {
			return err
		}
		if limit != 5 || lock != 2 {
			t.Errorf("statements may run %v s and wait %v s for a lock", limit, lock)
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
		if os.Getenv("CI") != "" {
			t.Fatal("the login of another system user is not tested: run as root")
		}
		t.Skip("not root: that the grants suffice for a login over the socket, and allow no writing, is not tried")
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
