package restore

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/internal/command"
)

// target is where the site goes: where the live one is, else where the backup says that it was.
type target struct {
	code     string // what is exchanged: a directory, a mount point, or a link to one
	dataroot string
	filedir  string
	user     *command.User
	database string // schema
	prefix   string
	wwwroot  string // as it will be
	moved    string // the address it had; empty if that stays
}

// findTarget settles where everything goes. What stands in a manifest is as hostile as whoever could write
// to the place that the backup came from: it is held against what a Moodle can be.
func (o *Options) findTarget() (t target, err error) {
	m := o.Reader.Manifest
	t = target{code: m.Moodle.Code, dataroot: m.Moodle.Dataroot, filedir: m.Moodle.Filedir, wwwroot: m.Moodle.WWWRoot}
	user := m.Moodle.User
	if m.Database != nil {
		t.database, t.prefix = m.Database.Name, m.Database.Prefix
	}
	if c := o.Configured; c.Dir != "" {
		t.code = filepath.Clean(c.Dir)
	}
	if o.Configured.User != "" {
		user = o.Configured.User
	}
	live := o.Live
	if live != nil {
		t.code, t.dataroot, t.filedir, user = live.Link, live.Config.DataRoot, live.Config.FileDir, live.User
		t.database, t.prefix, t.wwwroot = live.Config.DBName, live.Config.Prefix, live.Config.WWWRoot
	}
	if o.WWWRoot != "" && o.WWWRoot != t.wwwroot {
		t.moved, t.wwwroot = t.wwwroot, o.WWWRoot
	}
	if err := t.check(m); err != nil && live == nil {
		return t, &backup.RefusedError{
			Happened: "the places that backup " + m.ID + " names are none that a site can be at", Err: err,
			Means: "somebody may have written to the backups, and a restore there would destroy other things", Do: "name the site and its directory in the configuration: sites: [{name: " + m.Site + ", dir: …}]",
		}
	}
	if t.user, err = command.SiteUser(user); err != nil {
		return t, &backup.RefusedError{
			Happened: "the user " + user + ", whom the site's PHP ran as, cannot be used on this host", Err: err,
			Means: "the site's files would belong to nobody who can run it", Do: "install the web server and PHP-FPM first, or name the user in the configuration: sites: [{dir: " + t.code + ", user: …}]",
		}
	}
	return t, nil
}

var (
	validPrefix = regexp.MustCompile(`^[A-Za-z0-9_]{0,40}$`)
	// serverSchemas belong to the database server.
	serverSchemas = []string{"mysql", "sys", "information_schema", "performance_schema"}
	// systemDirs are no places for a site, nor is anything that holds one of them.
	systemDirs = []string{"/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/root", "/run", "/sbin", "/sys", "/usr/bin",
		"/usr/lib", "/usr/sbin", "/usr/libexec", "/var/lib/mysql", "/var/lib/dpkg", "/var/spool", "/var/log"}
)

// check refuses places and names that no site has.
func (t *target) check(m *backup.Manifest) error {
	problems := []error{checkPlace("code", t.code)}
	if m.Has(backup.Files) {
		problems = append(problems, checkPlace("dataroot", t.dataroot), checkPlace("filedir", t.filedir))
	}
	if m.Has(backup.Database) {
		lower := strings.ToLower(t.database)
		if t.database == "" || len(t.database) > 64 || strings.ContainsFunc(t.database, unprintable) || slices.Contains(serverSchemas, lower) {
			problems = append(problems, fmt.Errorf("%q is no schema of a site", t.database))
		}
		if !validPrefix.MatchString(t.prefix) {
			problems = append(problems, fmt.Errorf("%q is no table prefix", t.prefix))
		}
	}
	if u, err := url.Parse(t.wwwroot); err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" || strings.HasSuffix(t.wwwroot, "/") {
		problems = append(problems, fmt.Errorf("%q is no address of a site, such as https://lms.example.org", t.wwwroot))
	}
	if t.dataroot == t.code {
		problems = append(problems, errors.New("code and dataroot are the same directory"))
	}
	return errors.Join(problems...)
}

func checkPlace(what, path string) error {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path || strings.ContainsFunc(path, unprintable) || strings.Count(path, "/") < 2 {
		return fmt.Errorf("the %s %q is no directory below another one", what, path)
	}
	for _, dir := range systemDirs {
		if within(path, dir) || within(dir, path) {
			return fmt.Errorf("the %s %q is a place of the system", what, path)
		}
	}
	return nil
}

func unprintable(r rune) bool { return r < ' ' || r == 0x7f }

// within says whether path is dir or lies below it, as the names say.
func within(path, dir string) bool {
	relative, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(relative)
}
