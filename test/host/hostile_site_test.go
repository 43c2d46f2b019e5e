package host

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// TestWithoutPHP: config.php is read as text where there is no PHP.
func TestWithoutPHP(t *testing.T) {
	t.Parallel()
	h := theHost(t)
	i := h.install(t, object{"sites": []object{{"name": "lms", "dir": h.lms.CodeDir, "php": filepath.Join(h.dir, "no-php")}}})
	if o := i.run(t, "probe"); o.code != 0 || !strings.Contains(o.stderr, "read without PHP") {
		t.Errorf("the look ended with %d: %s", o.code, o.stderr)
	}
	facts, err := os.ReadFile(filepath.Join(i.state, "facts", "lms.json"))
	must(t, err)
	if !strings.Contains(string(facts), `"read_by": "static"`) || !strings.Contains(string(facts), h.lms.Dataroot) {
		t.Errorf("the facts: %.1500s", facts)
	}
	e := i.serve(t)
	p := e.fails(t, withoutSystemd...)
	p.want(t, 1, "site_info", "site", "lms")
	p.want(t, 1, "database_up", "server", net.JoinHostPort("127.0.0.1", strconv.Itoa(h.db.Port)))
}

// TestHostileConfigPHP: what stands in place of a site's config.php hides no other site, keeps no scrape waiting, and does
// not run as root.
func TestHostileConfigPHP(t *testing.T) {
	t.Parallel()
	needRoot(t)
	h := theHost(t)
	open := stand.TempDir(t)
	must(t, os.Chmod(open, 0o777))
	mark := filepath.Join(open, "mark")
	written := func(text string) func(file string) error {
		return func(file string) error {
			return os.WriteFile(file, []byte("<?php "+text+"\nrequire_once(__DIR__ . '/lib/setup.php');\n"), 0o644)
		}
	}
	put := map[string]func(file string) error{
		"huge":      written(strings.Repeat("// "+strings.Repeat("x", 1000)+"\n", 20_000)),
		"endless":   written("while (true) { }"),
		"floods":    written("while (true) { echo str_repeat('x', 100000); }"),
		"forks":     written("while (true) { exec('sleep 60'); }"),
		"marks":     written("touch(" + stand.PHPString(mark) + ");"),
		"closed":    func(file string) error { return errors.Join(written("")(file), os.Chmod(file, 0)) },
		"leads-out": func(file string) error { return os.Symlink("/etc/shadow", file) },
		"pipe":      func(file string) error { return syscall.Mkfifo(file, 0o644) },
	}
	version, err := os.ReadFile(filepath.Join(h.lms.DocRoot, "version.php"))
	must(t, err)
	sites := []object{{"name": "lms", "dir": h.lms.CodeDir}}
	for name, put := range put {
		dir := filepath.Join(open, name)
		must(t, os.MkdirAll(filepath.Join(dir, "lib"), 0o755), os.WriteFile(filepath.Join(dir, "lib", "setup.php"), nil, 0o644),
			os.WriteFile(filepath.Join(dir, "version.php"), version, 0o644), put(filepath.Join(dir, "config.php")))
		sites = append(sites, object{"name": name, "dir": dir, "user": h.lms.Web.Name})
	}
	e := h.install(t, object{"sites": sites}).serve(t)
	text, err := e.scrapeWithin(3 * time.Second) // the look is under way for as long as PHP may take
	must(t, err)
	parse(t, text).want(t, 1, "host_filesystem_responding", "mountpoint", "/")
	eventually(t, func() error {
		return e.shows("database_up", "server", net.JoinHostPort("127.0.0.1", strconv.Itoa(h.db.Port)))
	})
	page := e.get(t, "/")
	for name := range put {
		if !strings.Contains(page, filepath.Join(open, name)) {
			t.Errorf("the status page does not name the site %q", name)
		}
	}
	for _, secret := range []string{"root:$", "root:*", "root:!"} {
		if strings.Contains(e.log.String()+page, secret) {
			t.Error("what config.php leads to is shown")
		}
	}
	ran, err := os.Stat(mark)
	must(t, err)
	if owner := ran.Sys().(*syscall.Stat_t).Uid; owner == 0 {
		t.Error("a site's PHP was run as root")
	}
}
