package moodle

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/moodle-exporter/moodle-exporter/internal/dbserver"
)

// Connections keeps one connection for each database server and account. Sites that share both share the
// connection, which is why every statement names its schema.
type Connections struct {
	login func(*Site) (Login, error)

	mu   sync.Mutex
	kept map[account]*keptConnection
}

type account struct{ network, address, user string }

type keptConnection struct {
	*dbserver.Connection
	mu    sync.Mutex
	login Login // as last asked for: the password may change
}

// NewConnections returns an empty set. login says how to read along at a site: (*Site).MonitorLogin, or
// ConfigLogin for a program that runs as root.
func NewConnections(login func(*Site) (Login, error)) *Connections {
	return &Connections{login: login, kept: make(map[account]*keptConnection)}
}

// Of returns the connection for reading along at site. Nothing is opened before it is used.
func (c *Connections) Of(site *Site) (*dbserver.Connection, error) {
	if !site.Config.MySQL() {
		return nil, fmt.Errorf("site %s: %w, not %q", site.Name, ErrUnsupportedDatabase, site.Config.DBType)
	}
	login, err := c.login(site)
	if err != nil {
		return nil, err
	}
	key := account{login.Network, login.Address, login.User}
	c.mu.Lock()
	defer c.mu.Unlock()
	kept := c.kept[key]
	if kept == nil {
		kept = &keptConnection{}
		kept.Connection = dbserver.NewConnection(kept.driver)
		c.kept[key] = kept
	}
	kept.mu.Lock()
	defer kept.mu.Unlock()
	kept.login = login
	return kept.Connection, nil
}

func (k *keptConnection) driver() (*mysql.Config, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.login.Driver("", dbserver.CallLimit), nil
}

// Close ends all connections.
func (c *Connections) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, kept := range c.kept {
		if err := kept.Close(); err != nil {
			return fmt.Errorf("close the connection to %s: %w", key.address, err)
		}
		delete(c.kept, key)
	}
	return nil
}

// quoted is the table with its schema, as it stands in a statement. The prefix comes from a config.php that
// belongs to others.
func (s *Site) quoted(table string) string {
	return dbserver.Quote(s.Config.DBName) + "." + dbserver.Quote(s.Table(table))
}

// CronState is what the database says about maintenance, upgrade and cron. Times are zero where Moodle has
// not set them.
type CronState struct {
	Version            string    // of the installed database, to compare with the code's
	MaintenanceEnabled string    // 1: closed by the administrator; "cli mode": by the command line, since 5.0 or 5.1
	UpgradeUntil       time.Time // when a running upgrade said it would be done with its current step
	CronEnabled        bool
	CronLastStart      time.Time
	CronInterval       time.Duration // between the last two starts
}

// ReadCronState reads the site's state by unique indexes. Names of settings are Moodle's: lib/setuplib.php,
// lib/upgradelib.php, admin/cli/cron.php and core\cron, unchanged from 3.11 to 5.1 except where noted.
func (s *Site) ReadCronState(ctx context.Context, conn *sql.Conn) (CronState, error) {
	core, err := readSettings(ctx, conn, "SELECT name, value FROM "+s.quoted("config")+
		" WHERE name IN ('version', 'maintenance_enabled', 'upgraderunning', 'cron_enabled')")
	if err != nil {
		return CronState{}, fmt.Errorf("read configuration of site %s: %w", s.Name, err)
	}
	cron, err := readSettings(ctx, conn, "SELECT name, value FROM "+s.quoted("config_plugins")+
		" WHERE plugin = 'tool_task' AND name IN ('lastcronstart', 'lastcroninterval')")
	if err != nil {
		return CronState{}, fmt.Errorf("read cron state of site %s: %w", s.Name, err)
	}
	interval, _ := strconv.ParseInt(cron["lastcroninterval"], 10, 64)
	return CronState{
		Version:            core["version"],
		MaintenanceEnabled: core["maintenance_enabled"],
		UpgradeUntil:       epoch(core["upgraderunning"]),
		CronEnabled:        truthy(core["cron_enabled"]),
		CronLastStart:      epoch(cron["lastcronstart"]),
		CronInterval:       time.Duration(interval) * time.Second,
	}, nil
}

func readSettings(ctx context.Context, conn *sql.Conn, query string) (map[string]string, error) {
	rows, err := conn.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	settings := make(map[string]string)
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return nil, err
		}
		settings[name] = value
	}
	return settings, rows.Err()
}

// epoch reads a Unix time in seconds; anything but a positive number is the zero time.
func epoch(text string) time.Time {
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds <= 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}

// truthy is how PHP sees a string as a condition.
func truthy(text string) bool { return text != "" && text != "0" }
