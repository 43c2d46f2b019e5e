package moodle

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
)

// ErrNeedsPHP is a config.php that only PHP can read: it computes what we need.
var ErrNeedsPHP = errors.New("config.php computes its settings, so reading it needs PHP")

// parseConfig is the reader of config.php for hosts without PHP: it takes literals and nothing else.
// dir is where the file lies.
func parseConfig(text, dir string) (PHPConfig, error) {
	read := assignments(text, dir)
	if read.includes {
		return PHPConfig{}, fmt.Errorf("%w (it reads another file)", ErrNeedsPHP)
	}
	setting := func(name string) string { return read.values["CFG->"+name] }
	for _, name := range []string{"dbtype", "dbhost", "dbname", "dbuser", "dbpass", "prefix", "wwwroot", "dataroot"} {
		if _, set := read.values["CFG->"+name]; !set && (name != "prefix" || read.unsure["CFG->prefix"]) {
			return PHPConfig{}, fmt.Errorf("%w ($CFG->%s is no literal)", ErrNeedsPHP, name)
		}
	}
	for name := range optionalSettings {
		if read.unsure["CFG->"+name] {
			return PHPConfig{}, fmt.Errorf("%w ($CFG->%s is no literal)", ErrNeedsPHP, name)
		}
	}
	c := PHPConfig{
		DBType: setting("dbtype"), DBHost: setting("dbhost"), DBName: setting("dbname"), DBUser: setting("dbuser"),
		DBPass: config.Secret(setting("dbpass")), Prefix: setting("prefix"), WWWRoot: setting("wwwroot"), DataRoot: setting("dataroot"),
		DBSocket: setting("dboptions[dbsocket]"), ReadBy: "static",
	}
	for name, field := range optionalSettings {
		*field(&c) = setting(name)
	}
	if port := setting("dboptions[dbport]"); port != "" {
		number, err := strconv.Atoi(port)
		if err != nil {
			return PHPConfig{}, fmt.Errorf("config.php: dbport %q is not a number", port)
		}
		c.DBPort = number
	}
	if host := setting("session_redis_host"); host != "" {
		c.RedisSession = redisAddress(host, setting("session_redis_port"))
		c.RedisPassword = config.Secret(setting("session_redis_auth"))
		c.RedisTLS = read.unsure["CFG->session_redis_encrypt"] || setting("session_redis_encrypt[verify_peer]")+setting("session_redis_encrypt[cafile]") != ""
	}
	c.setDefaults()
	return c, c.check()
}

// optionalSettings have defaults in Moodle, and are believed only where they are literals or not set.
// dboptions has no field of its own: its parts are read one by one.
var optionalSettings = map[string]func(*PHPConfig) *string{
	"tempdir":                       func(c *PHPConfig) *string { return &c.TempDir },
	"cachedir":                      func(c *PHPConfig) *string { return &c.CacheDir },
	"localcachedir":                 func(c *PHPConfig) *string { return &c.LocalCacheDir },
	"backuptempdir":                 func(c *PHPConfig) *string { return &c.BackupTempDir },
	"filedir":                       func(c *PHPConfig) *string { return &c.FileDir },
	"trashdir":                      func(c *PHPConfig) *string { return &c.TrashDir },
	"secretdataroot":                func(c *PHPConfig) *string { return &c.SecretDataRoot },
	"alternative_file_system_class": func(c *PHPConfig) *string { return &c.FileSystemClass },
	"session_handler_class":         func(c *PHPConfig) *string { return &c.SessionHandler },
	"session_redis_database":        func(c *PHPConfig) *string { return &c.RedisDatabase },
	"session_redis_prefix":          func(c *PHPConfig) *string { return &c.RedisPrefix },
	"dboptions":                     func(*PHPConfig) *string { return new(string) },
}

// ReadLiterals reads the text of a config.php without PHP, which takes literals and nothing else. dir is where
// the file lies, or lay. ErrNeedsPHP if it computes what is needed.
func ReadLiterals(text, dir string) (PHPConfig, error) { return parseConfig(text, dir) }
