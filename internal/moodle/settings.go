package moodle

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"
)

// setDefaults fills in what Moodle's lib/setup.php derives from dataroot.
func (c *PHPConfig) setDefaults() {
	c.DataRoot = strings.TrimRight(c.DataRoot, "/")
	for _, path := range []struct {
		field *string
		name  string
	}{
		{&c.TempDir, "temp"}, {&c.CacheDir, "cache"}, {&c.LocalCacheDir, "localcache"},
		{&c.FileDir, "filedir"}, {&c.TrashDir, "trashdir"}, {&c.SecretDataRoot, "secret"},
	} {
		if *path.field == "" {
			*path.field = filepath.Join(c.DataRoot, path.name)
		}
	}
	if c.BackupTempDir == "" {
		c.BackupTempDir = filepath.Join(c.TempDir, "backup")
	}
}

// validPrefix is what Moodle accepts as a table prefix (lib/dml: letters, digits and underscores).
var validPrefix = regexp.MustCompile(`^[A-Za-z0-9_]{0,40}$`)

// check refuses what no working site can have. The file belongs to the web user, who may be hostile: what
// passes here may be used as a path, a label and an address.
func (c *PHPConfig) check() error {
	var problems []error
	for name, value := range map[string]string{
		"dbhost": c.DBHost, "dbname": c.DBName, "dbuser": c.DBUser, "wwwroot": c.WWWRoot, "dbsocket": c.DBSocket, "dbtype": c.DBType,
	} {
		if len(value) > 512 || !utf8.ValidString(value) || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			problems = append(problems, fmt.Errorf("config.php: $CFG->%s holds control characters or is too long", name))
		}
	}
	if c.DBName == "" || c.DBType == "" {
		problems = append(problems, errors.New("config.php: $CFG->dbname or $CFG->dbtype is not set"))
	}
	if !validPrefix.MatchString(c.Prefix) {
		problems = append(problems, errors.New("config.php: $CFG->prefix is no table prefix"))
	}
	if u, err := url.Parse(c.WWWRoot); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		problems = append(problems, errors.New("config.php: $CFG->wwwroot is no http or https address"))
	}
	if !usablePath(c.DataRoot) {
		return errors.Join(append(problems, errors.New("config.php: $CFG->dataroot is no absolute path"))...)
	}
	for _, path := range []string{c.TempDir, c.CacheDir, c.LocalCacheDir, c.BackupTempDir, c.FileDir, c.TrashDir, c.SecretDataRoot} {
		if !usablePath(path) {
			problems = append(problems, errors.New("config.php: one of tempdir, cachedir, localcachedir, backuptempdir, filedir, trashdir or secretdataroot is no absolute path"))
			break
		}
	}
	return errors.Join(problems...)
}

func usablePath(path string) bool {
	return filepath.IsAbs(path) && !strings.ContainsRune(path, 0) && filepath.Clean(path) != "/"
}

// redisAddress is host:port, or the path of a socket.
func redisAddress(host, port string) string {
	if strings.HasPrefix(host, "/") || host == "" {
		return host
	}
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	if port == "" || port == "0" {
		port = "6379"
	}
	return net.JoinHostPort(host, port)
}
