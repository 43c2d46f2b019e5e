package collector

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// fleet is one database server with the databases of two real sites, 4.5 and 5.1, and the exporter's account
// with the rights that Grants prints and no others. Only tests that ask for it pay for it.
var fleet struct {
	sync.Once
	server *stand.MariaDBServer
	sites  []*moodle.Site
	err    error
}

var (
	fleetContext, endFleet = context.WithCancel(context.Background())
	removeFleet            = func() error { return nil }
)

// Schema names full of what GRANT and statements have to quote.
const (
	schema45 = "moodle_4.5"
	schema51 = "moodle%5.1 `x`"
)

// watcherPassword holds every printable ASCII character.
var watcherPassword = func() string {
	var all strings.Builder
	for c := byte(' '); c <= '~'; c++ {
		all.WriteByte(c)
	}
	return all.String()
}()

func TestMain(m *testing.M) {
	code := m.Run()
	endFleet()
	if fleet.server != nil {
		_ = fleet.server.Close()
	}
	if err := removeFleet(); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// theFleet starts the server for the first test that needs it. The sites are copies.
func theFleet(t *testing.T) (*stand.MariaDBServer, []*moodle.Site) {
	t.Helper()
	stand.Need(t, stand.MariaDB)
	fleet.Do(startFleet)
	if errors.Is(fleet.err, stand.ErrNoFixtures) && os.Getenv("CI") == "" {
		t.Skip("the database and site metrics of two real sites are not compared with queries: ", fleet.err)
	}
	if fleet.err != nil {
		t.Fatal(fleet.err)
	}
	sites := make([]*moodle.Site, len(fleet.sites))
	for i, site := range fleet.sites {
		other := *site
		sites[i] = &other
	}
	return fleet.server, sites
}

func startFleet() {
	var dir string
	if dir, removeFleet, fleet.err = stand.MakeTempDir(); fleet.err != nil {
		return
	}
	fleet.server, fleet.err = stand.StartMariaDB(fleetContext, dir, stand.MariaDBOptions{Settings: []string{"--server-id=1"}})
	if fleet.err != nil {
		return
	}
	loaded := make(chan error)
	for version, schema := range map[string]string{"4.5": schema45, "5.1": schema51} {
		go func() { loaded <- stand.LoadFixture(fleetContext, fleet.server, version, schema) }()
	}
	for range 2 {
		if err := <-loaded; err != nil {
			fleet.err = err
		}
	}
	if fleet.err != nil {
		return
	}
	fleet.sites, fleet.err = fleetSites(dir)
	if fleet.err == nil {
		fleet.err = fleet.server.Exec(fleetContext, append([]string{
			"CREATE USER watcher@localhost IDENTIFIED BY " + sqlText(watcherPassword),
			"CREATE DATABASE `moodleX4.5`", "CREATE TABLE `moodleX4.5`.other (id INT)",
		}, statements(moodle.Grants(fleet.sites, "mariadb"))...)...)
	}
}

func fleetSites(dir string) ([]*moodle.Site, error) {
	passwordFile := filepath.Join(dir, "password")
	if err := os.WriteFile(passwordFile, []byte(watcherPassword+"\n"), 0o600); err != nil {
		return nil, err
	}
	site := func(name, schema, prefix string, version moodle.Version) *moodle.Site {
		return &moodle.Site{
			Name: name, Version: version, Monitor: config.Account{User: "watcher", PasswordFile: passwordFile},
			Config: moodle.PHPConfig{
				DBType: "mariadb", DBHost: "localhost", DBSocket: fleet.server.Socket, DBName: schema, Prefix: prefix,
				WWWRoot: "https://" + name + ".example.org", DataRoot: filepath.Join(dir, name),
			},
		}
	}
	return []*moodle.Site{
		site("lms", schema45, "m45_", moodle.Version{Number: "2024100705.01", Release: "4.5.5+ (Build: 20250613)", Branch: "405"}),
		site("campus", schema51, "mdl_", moodle.Version{Number: "2025100600.02", Release: "5.1+ (Build: 20251017)", Branch: "501", Public: true}),
	}, nil
}

// statements splits the text that Grants prints; no name in the fleet holds a semicolon.
func statements(text string) []string {
	var all []string
	for statement := range strings.SplitSeq(text, ";\n") {
		if strings.TrimSpace(statement) != "" {
			all = append(all, statement)
		}
	}
	return all
}

func sqlText(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// ask puts a query to the server with the ordinary client, as its administrator.
func ask(t *testing.T, server *stand.MariaDBServer, query string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "mariadb", "--no-defaults", "--socket="+server.Socket, "--user="+server.RootUser(), "-N", "-B", "-e", query)
	answer, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", query, err, answer)
	}
	return strings.TrimSpace(string(answer))
}

func askNumber(t *testing.T, server *stand.MariaDBServer, query string) float64 {
	t.Helper()
	answer := ask(t, server, query)
	number, err := strconv.ParseFloat(answer, 64)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return number
}

func sitesOf(sites []*moodle.Site) func() []*moodle.Site {
	return func() []*moodle.Site { return sites }
}

// connect returns connections that end with the test.
func connect(t *testing.T) *moodle.Connections {
	t.Helper()
	connections := moodle.NewConnections((*moodle.Site).MonitorLogin)
	t.Cleanup(func() {
		if err := connections.Close(); err != nil {
			t.Error(err)
		}
	})
	return connections
}
