// Package moodle knows Moodle sites: where they are on a host, what their config.php and version.php say,
// how to reach their database, and what the database tells about their health.
package moodle

import (
	"path/filepath"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
)

// Site is one Moodle site of this host.
type Site struct {
	Name    string // label, directory, lock; see design of names in sites.json
	Dir     string // the code tree, links resolved: config.php and admin/cli are here in every version
	Link    string // the path by which the tree was found or configured; Dir where it is no link
	User    string // whom its PHP runs as; never root
	PHP     string // CLI binary; empty where PHP is missing
	Primary bool   // this host may back up, restore and update it

	Config  PHPConfig
	Version Version

	// Environment is what the site's PHP-FPM pools give to PHP, for getenv() in config.php. It may hold the
	// database password: it goes to the site's own programs, as the site's user, and nowhere else.
	Environment []string

	Monitor config.Account // from the configuration; empty parts have the defaults of DSN
	Admin   config.Account
}

// PHPConfig is what a site's config.php sets, with Moodle's own defaults for what it leaves out
// (lib/setup.php). Paths are absolute.
type PHPConfig struct {
	DBType   string        `json:"dbtype"` // mariadb, mysqli, auroramysql, pgsql, sqlsrv
	DBHost   string        `json:"dbhost"`
	DBPort   int           `json:"dbport,omitempty"` // 0: the server's default
	DBSocket string        `json:"dbsocket,omitempty"`
	DBName   string        `json:"dbname"`
	DBUser   string        `json:"dbuser"`
	DBPass   config.Secret `json:"-"`
	Prefix   string        `json:"prefix"`

	WWWRoot        string `json:"wwwroot"`
	DataRoot       string `json:"dataroot"`
	TempDir        string `json:"tempdir"`
	CacheDir       string `json:"cachedir"`
	LocalCacheDir  string `json:"localcachedir"`
	BackupTempDir  string `json:"backuptempdir"`
	FileDir        string `json:"filedir"`
	TrashDir       string `json:"trashdir"`
	SecretDataRoot string `json:"secretdataroot"`

	// FileSystemClass is set where file content lives elsewhere, as in \tool_objectfs\s3_file_system.
	FileSystemClass string `json:"alternative_file_system_class,omitempty"`
	SessionHandler  string `json:"session_handler_class,omitempty"`
	RedisSession    string `json:"redis_session,omitempty"` // host:port of the session store
	RedisDatabase   string `json:"session_redis_database,omitempty"`
	RedisPrefix     string `json:"session_redis_prefix,omitempty"` // of the keys in it
	RedisTLS        bool   `json:"session_redis_tls,omitempty"`
	// How the site logs in to its session store.
	RedisUser     string        `json:"-"`
	RedisPassword config.Secret `json:"-"`

	PHPVersion string `json:"php_version,omitempty"`
	ReadBy     string `json:"read_by"` // php or static
}

// MySQL says whether the site's database is of the kind that this product can read and back up.
func (c PHPConfig) MySQL() bool {
	switch c.DBType {
	case "mariadb", "mysqli", "auroramysql":
		return true
	}
	return false
}

// Server is the label of the database server: its socket, or host:port.
func (c PHPConfig) Server() string {
	_, address := c.address()
	return address
}

// Host is the host part of wwwroot.
func (c PHPConfig) Host() string {
	_, rest, _ := strings.Cut(c.WWWRoot, "://")
	host, _, _ := strings.Cut(rest, "/")
	return host
}

// Version is what version.php of the code on disk says.
type Version struct {
	Number   string `json:"version"` // 2024100700.04; the database stores it without a trailing .00
	Release  string `json:"release"` // 4.5.4 (Build: 20250414)
	Branch   string `json:"branch"`  // 405
	Maturity string `json:"maturity,omitempty"`
	// Public says that plugins and version.php live in Dir/public (since 5.1).
	Public bool `json:"public"`
}

// Public is the part of the tree that the web server serves: Dir, or Dir/public since 5.1.
func (s *Site) Public() string {
	if s.Version.Public {
		return filepath.Join(s.Dir, "public")
	}
	return s.Dir
}

// CLI is the path of one of Moodle's admin/cli scripts.
func (s *Site) CLI(script string) string { return filepath.Join(s.Dir, "admin/cli", script) }

// Table is the full name of one of the site's tables.
func (s *Site) Table(name string) string { return s.Config.Prefix + name }
