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
	name     string // of the user whom the site's PHP runs as
	user     *command.User
	noUser   error  // why there is no such user on this host
	database string // schema
	prefix   string
	wwwroot  string // as it will be
	moved    string // the address it had; empty if that stays
}

// findTarget settles where everything goes. What stands in a manifest is as hostile as whoever could write
// to the place that the backup came from, and config.php often belongs to the site's own user: both are held
// against what a Moodle can be.
func (o *Options) findTarget() (t target, err error) {
	m := o.Reader.Manifest
	t = target{code: m.Moodle.Code, dataroot: m.Moodle.Dataroot, filedir: m.Moodle.Filedir, wwwroot: m.Moodle.WWWRoot, name: m.Moodle.User}
	if m.Database != nil {
		t.database, t.prefix = m.Database.Name, m.Database.Prefix
	}
	if c := o.Configured; c.Dir != "" {
		t.code = filepath.Clean(c.Dir)
	}
	if o.Configured.User != "" {
		t.name = o.Configured.User
	}
	who, do := "backup "+m.ID, "name the site and its directory in the configuration: sites: [{name: "+m.Site+", dir: …}]"
	if live := o.Live; live != nil {
		t.code, t.dataroot, t.filedir, t.name = live.Link, live.Config.DataRoot, live.Config.FileDir, live.User
		t.database, t.prefix, t.wwwroot = live.Config.DBName, live.Config.Prefix, live.Config.WWWRoot
		who, do = live.Dir+"/config.php", "put it right there"
	}
	if o.WWWRoot != "" {
		t.wwwroot = o.WWWRoot
	}
	// The content is that of the backup, whatever the live site is called.
	if t.wwwroot != m.Moodle.WWWRoot {
		t.moved = m.Moodle.WWWRoot
	}
	if err := errors.Join(t.check(m), o.clash(t)); err != nil {
		return t, &backup.RefusedError{
			Happened: "the places that " + who + " names are none that this site can be at", Err: err,
			Means: "a restore there would destroy other things; somebody may have meant it to", Do: do,
		}
	}
	t.user, t.noUser = command.SiteUser(t.name)
	return t, nil
}

// clash finds another site of this host in the places that this one would take.
func (o *Options) clash(t target) error {
	var problems []error
	for _, other := range o.Others {
		c := other.Config
		if c.DBName == t.database && c.Prefix == t.prefix && t.database != "" {
			problems = append(problems, fmt.Errorf("the tables %s… in schema %s are those of site %s", t.prefix, t.database, other.Name))
		}
		for _, dir := range []string{other.Dir, other.Link, c.DataRoot, c.FileDir} {
			for _, place := range []string{t.code, t.dataroot, t.filedir} {
				if dir != "" && place != "" && holds(place, dir) {
					problems = append(problems, fmt.Errorf("%s is, or holds, what belongs to site %s", place, other.Name))
				}
			}
		}
	}
	return errors.Join(problems...)
}

var (
	validPrefix = regexp.MustCompile(`^[A-Za-z0-9_]{0,40}$`)
	// serverSchemas belong to the database server.
	serverSchemas = []string{"mysql", "sys", "information_schema", "performance_schema"}
	// systemDirs are no places for a site, nor is anything that holds one of them.
	systemDirs = []string{"/bin", "/boot", "/dev", "/etc", "/lib", "/lib32", "/lib64", "/proc", "/root", "/run", "/sbin", "/sys", "/usr/bin",
		"/usr/lib", "/usr/sbin", "/usr/libexec", "/var/lib/mysql", "/var/lib/dpkg", "/var/spool", "/var/log"}
	// wholeDirs hold what belongs to many.
	wholeDirs = []string{"/", "/home", "/media", "/mnt", "/opt", "/srv", "/tmp", "/var/tmp", "/var/www", "/var/www/html"}
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
	if t.dataroot != "" && (holds(t.code, t.dataroot) || holds(t.dataroot, t.code)) {
		problems = append(problems, fmt.Errorf("of the code %s and the dataroot %s one lies in the other, and would be taken away with it: move the dataroot first, or restore by hand as RESTORE.txt says", t.code, t.dataroot))
	}
	return errors.Join(problems...)
}

func checkPlace(what, path string) error {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path || strings.ContainsFunc(path, unprintable) {
		return fmt.Errorf("the %s %q is no absolute path of a directory", what, path)
	}
	if slices.Contains(wholeDirs, path) && (what != "code" || !strings.HasPrefix(path, "/var/www")) {
		return fmt.Errorf("the %s %q holds more than that", what, path)
	}
	for _, dir := range systemDirs {
		if within(path, dir) || within(dir, path) {
			return fmt.Errorf("the %s %q is a place of the system", what, path)
		}
	}
	return nil
}

// holds says whether path is dir or lies below it, links resolved.
func holds(dir, path string) bool {
	return within(path, dir) || within(resolved(path), resolved(dir))
}

// resolved follows the links of a path as far as it is there.
func resolved(path string) string {
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		return real
	}
	if parent := filepath.Dir(path); parent != path {
		return filepath.Join(resolved(parent), filepath.Base(path))
	}
	return path
}

func unprintable(r rune) bool { return r < ' ' || r == 0x7f }

// within says whether path is dir or lies below it, as the names say.
func within(path, dir string) bool {
	relative, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(relative)
}
