package control

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

func TestResetFlags(t *testing.T) {
	t.Parallel()
	p := newPlace(t, stand.SiteOptions{})
	spoil := func() {
		p.exec("REPLACE INTO {config} (name, value) VALUES ('cron_enabled', '0'), ('maintenance_enabled', 'cli mode'), ('maintenance_later', '1'), ('upgraderunning', '9999999999'), ('outagelessupgrade', '1')")
		p.exec("UPDATE {task_scheduled} SET timestarted = 1, hostname = 'old', pid = 7 WHERE classname LIKE '%session_cleanup%'")
		p.exec("UPDATE {task_adhoc} SET timestarted = 1, hostname = 'old', pid = 8")
	}
	spoil()
	p.exec("INSERT INTO {lock_db} (resourcekey, expires, owner) VALUES ('a', 1, 'somebody'), ('b', NULL, NULL)")
	settings := func() string {
		return p.value("SELECT GROUP_CONCAT(name, '=', value ORDER BY name) FROM {config} WHERE name IN ('cron_enabled', 'maintenance_enabled', 'maintenance_later', 'upgraderunning', 'outagelessupgrade', 'noemailever')")
	}
	for _, c := range []struct {
		flags Flags
		reset Reset
		want  string
	}{
		{Flags{}, Reset{Sessions: 8, Tasks: 2, Locks: 1}, "cron_enabled=1,maintenance_enabled=0"},
		{Flags{}, Reset{}, "cron_enabled=1,maintenance_enabled=0"},
		{Flags{AnotherHost: true, KeepMail: true}, Reset{}, "cron_enabled=1,maintenance_enabled=0"},
		{Flags{AnotherHost: true}, Reset{MailOff: true}, "cron_enabled=1,maintenance_enabled=0,noemailever=1"},
	} {
		reset, err := ResetFlags(t.Context(), p.db, p.site, c.flags)
		if err != nil || reset != c.reset {
			t.Errorf("%+v: %+v, %v", c.flags, reset, err)
		}
		if got := settings(); got != c.want {
			t.Errorf("%+v: settings %s", c.flags, got)
		}
	}
	if out, err := p.CLI(t.Context(), "cron", "--keep-alive=0").CombinedOutput(); err != nil {
		t.Errorf("cron does not run: %s", out)
	}
	// All of it or nothing, and a site without the table of locks has none.
	spoil()
	p.exec("DROP TABLE {lock_db}")
	p.exec("RENAME TABLE {task_adhoc} TO {away}")
	before := settings()
	if _, err := ResetFlags(t.Context(), p.db, p.site, Flags{AnotherHost: true}); err == nil || settings() != before {
		t.Errorf("half of it is done: %v, %s", err, settings())
	}
	p.exec("RENAME TABLE {away} TO {task_adhoc}")
	if reset, err := ResetFlags(t.Context(), p.db, p.site, Flags{}); err != nil || reset != (Reset{Tasks: 1 + 1}) {
		t.Errorf("%+v, %v", reset, err)
	}
}

func TestReplaceURL(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"4.5", "5.1"} {
		p := newPlace(t, stand.SiteOptions{Version: version, Name: "replace" + version[:1], WWWRoot: "http://old.example/lms"})
		p.exec(`UPDATE {course} SET summary = '<a href="http://old.example/lms/x">x</a> <img src="//old.example/lms/y"> https://old.example/other' WHERE id = 2`)
		c := p.cli()
		must(t, c.ReplaceURL(t.Context(), "http://old.example/lms/", "https://new.example"))
		want := `<a href="https://new.example/x">x</a> <img src="//new.example/y"> https://old.example/other`
		if got := p.value("SELECT summary FROM {course} WHERE id = 2"); got != want {
			t.Errorf("%s: %s", version, got)
		}
	}
}

func TestReplacements(t *testing.T) {
	for _, c := range []struct{ old, fresh, want string }{
		{"https://a.example", "https://b.example/", "//a.example>//b.example"},
		{"http://a.example", "https://a.example", "http://a.example>https://a.example"},
		{"http://a.example/x", "https://b.example", "//a.example/x>//b.example http://b.example>https://b.example"},
		{"https://a.example/x", "https://a.example", "//a.example/x>//a.example"},
		{"https://a.example", "https://a.example", ""},
		{"https://a.example", "https://a.example/x", "refused"},
		{"https://a.example", "https://a.example.org", "refused"},
		{"https://a.example", "ftp://b.example", "refused"},
		{"https://a.example", "https://u:p@b.example", "refused"},
		{"", "https://b.example", "refused"},
	} {
		steps, err := replacements(c.old, c.fresh)
		var got []string
		for _, step := range steps {
			got = append(got, step[0]+">"+step[1])
		}
		if errors.Is(err, ErrAddress) {
			got = []string{"refused"}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%s to %s: %q, %v", c.old, c.fresh, got, err)
		}
	}
}

func TestPurgeFiles(t *testing.T) {
	site, file := closable(t)
	data := filepath.Dir(file)
	account, err := stand.WebUser()
	must(t, err)
	outside := filepath.Join(t.TempDir(), "outside")
	must(t, os.MkdirAll(outside, 0o755))
	must(t, os.WriteFile(filepath.Join(outside, "precious"), nil, 0o600))
	site.Config.CacheDir, site.Config.LocalCacheDir = filepath.Join(data, "cache"), filepath.Join(data, "localcache")
	for _, path := range []string{"cache/cachestore_file/default_application/core_config/a.cache", "cache/core_component.php", "localcache/theme/1/x.css", "temp/keep"} {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(data, path)), 0o700))
		must(t, os.WriteFile(filepath.Join(data, path), nil, 0o600))
	}
	must(t, os.Symlink(outside, filepath.Join(data, "cache/link")))
	for _, dir := range []string{"cache", "localcache"} { // below them, root has left directories, as after sudo php
		must(t, os.Chown(filepath.Join(data, dir), account.UID, account.GID))
	}
	must(t, PurgeFiles(site))
	onlyIn(t, filepath.Join(data, "cache"))
	onlyIn(t, filepath.Join(data, "localcache"))
	onlyIn(t, filepath.Join(data, "temp"), "keep")
	onlyIn(t, outside, "precious")
	must(t, os.RemoveAll(filepath.Join(data, "localcache")))
	must(t, PurgeFiles(site))
	// config.php may name any directory of the host.
	site.Config.CacheDir = outside
	if os.Getuid() == 0 {
		if err := PurgeFiles(site); !errors.Is(err, ErrNotOurs) {
			t.Errorf("a directory of root: %v", err)
		}
		onlyIn(t, outside, "precious")
	}
}
