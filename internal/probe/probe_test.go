package probe

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

const password = `geheim\"'$%&#`

// take builds a real site and looks at it.
func take(t *testing.T) (*Probe, *stand.Site) {
	t.Helper()
	stand.Need(t, stand.MariaDB, stand.PHP)
	ctx := context.Background()
	dir := stand.TempDir(t)
	db, err := stand.StartMariaDB(ctx, dir, stand.MariaDBOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	site, err := stand.NewSite(ctx, dir, db, stand.SiteOptions{Name: "lms", Password: password})
	if err != nil {
		t.Fatal(err)
	}
	settings, err := config.Parse([]byte("sites: [{name: lms, dir: " + site.CodeDir + "}]\nbackup: {dir: " + filepath.Join(dir, "backups") + "}\n" +
		"certificates: {files: [" + filepath.Join(dir, "none.pem") + "]}"))
	if err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(dir, "state")
	logger := slog.New(slog.DiscardHandler)
	return &Probe{
		Config: settings, StateDir: state, Group: -1, Clock: time.Now, Logger: logger,
		Finder: &moodle.Finder{Root: "/", StateDir: state, Group: -1, Logger: logger},
	}, site
}

func TestLook(t *testing.T) {
	look, site := take(t)
	ctx := context.Background()
	sites, err := look.Run(ctx)
	if err != nil || len(sites) != 1 || sites[0].Config.DBPass.Reveal() != password {
		t.Fatalf("%v %v", sites, err)
	}
	facts, err := ReadSite(look.StateDir, "lms")
	if err != nil {
		t.Fatal(err)
	}
	if facts.Config.DataRoot != site.Dataroot || facts.Version.Branch != "405" || *facts.CLIMaintenance || facts.UpgradePending == nil || *facts.UpgradePending {
		t.Errorf("%+v", facts)
	}
	host, err := ReadHost(look.StateDir)
	if err != nil || len(host.Sites) != 1 || len(host.Problems) != 1 || !strings.Contains(host.Problems[0], "none.pem") {
		t.Errorf("%+v %v", host, err)
	}
	t.Run("no password and no stranger's eyes", func(t *testing.T) {
		for _, path := range []string{look.StateDir, factsPath(look.StateDir, "lms"), factsPath(look.StateDir, config.HostName)} {
			info, err := os.Stat(path)
			if err != nil || info.Mode().Perm()&0o007 != 0 {
				t.Errorf("%s: %v %v", path, info.Mode(), err)
			}
			content, _ := os.ReadFile(path)
			if strings.Contains(string(content), "geheim") {
				t.Errorf("%s holds the password", path)
			}
		}
	})
	t.Run("servers beside the site", func(t *testing.T) { seeServers(t, look, site) })
	t.Run("maintenance", func(t *testing.T) {
		if output, err := site.CLI(ctx, "maintenance", "--enable").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, output)
		}
		if _, err := look.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if facts, err := ReadSite(look.StateDir, "lms"); err != nil || !*facts.CLIMaintenance {
			t.Errorf("%+v %v", facts, err)
		}
	})
	t.Run("new code is asked at once", func(t *testing.T) {
		path := filepath.Join(site.DocRoot, "version.php")
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		newer := strings.Replace(string(content), site.Version, "2024100799.00", 1)
		if err := os.WriteFile(path, []byte(newer), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := look.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if facts, err := ReadSite(look.StateDir, "lms"); err != nil || !*facts.UpgradePending {
			t.Errorf("%+v %v", facts, err)
		}
	})
	t.Run("a site that breaks stays in sight", func(t *testing.T) {
		path := filepath.Join(site.CodeDir, "config.php")
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("<?php $CFG = ("), 0o640); err != nil {
			t.Fatal(err)
		}
		if _, err := look.Run(ctx); err != nil {
			t.Fatal(err)
		}
		facts, err := ReadSite(look.StateDir, "lms")
		if err != nil || facts.Config.DataRoot != site.Dataroot {
			t.Errorf("its facts are %+v (%v)", facts, err)
		}
		host, err := ReadHost(look.StateDir)
		if err != nil || !slices.Equal(host.Sites, []string{"lms"}) || !strings.Contains(strings.Join(host.Problems, "\n"), site.CodeDir) {
			t.Errorf("%+v %v", host, err)
		}
		if err := os.WriteFile(path, content, 0o640); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a discovered site that vanishes stays in sight", func(t *testing.T) {
		settings := look.Config
		defer func() { look.Config = settings }()
		var err error
		if look.Config, err = config.Parse(nil); err != nil {
			t.Fatal(err)
		}
		finder := *look.Finder
		look.Finder.Root = t.TempDir() // nothing is found there
		defer func() { look.Finder = &finder }()
		if _, err := look.Run(ctx); err != nil {
			t.Fatal(err)
		}
		host, err := ReadHost(look.StateDir)
		if err != nil || len(host.Sites) != 1 || !strings.Contains(strings.Join(host.Problems, ""), "no longer there") {
			t.Errorf("%+v %v", host, err)
		}
	})
	t.Run("a site that goes takes its facts along", func(t *testing.T) {
		empty, err := config.Parse([]byte("sites: [{name: other, dir: /nonexistent}]"))
		if err != nil {
			t.Fatal(err)
		}
		look.Config = empty
		if _, err := look.Run(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadSite(look.StateDir, "lms"); !errors.Is(err, ErrNoFacts) {
			t.Errorf("the facts of a site that is gone: %v", err)
		}
		if host, err := ReadHost(look.StateDir); err != nil || !strings.Contains(strings.Join(host.Problems, "\n"), "/nonexistent") {
			t.Errorf("%+v %v", host, err)
		}
	})
}

// One site on a share that hangs costs only itself: its old facts stay, and those of the others are fresh.
func TestHungShare(t *testing.T) {
	stand.Need(t, stand.MariaDB, stand.PHP)
	ctx := context.Background()
	dir := stand.TempDir(t)
	db, err := stand.StartMariaDB(ctx, dir, stand.MariaDBOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	web := filepath.Join(dir, "var/www")
	if err := os.MkdirAll(web, 0o755); err != nil {
		t.Fatal(err)
	}
	var dataroot string
	for _, name := range []string{"good", "moodle"} {
		site, err := stand.NewSite(ctx, dir, db, stand.SiteOptions{Name: name, CodeDir: filepath.Join(web, name)})
		if err != nil {
			t.Fatal(err)
		}
		dataroot = site.Dataroot
	}
	settings, err := config.Parse([]byte("backup: {dir: " + filepath.Join(dir, "backups") + "}"))
	if err != nil {
		t.Fatal(err)
	}
	state, logger := filepath.Join(dir, "state"), slog.New(slog.DiscardHandler)
	look := &Probe{
		Config: settings, StateDir: state, Group: -1, Clock: time.Now, Logger: logger,
		Finder: &moodle.Finder{Root: dir, StateDir: state, Group: -1, Logger: logger},
	}
	if _, err := look.Run(ctx); err != nil {
		t.Fatal(err)
	}
	for _, hung := range []string{dataroot, filepath.Join(web, "moodle")} {
		before := time.Now()
		daemon := stand.MountShare(t, hung, hung)
		if err := daemon.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		look.Patience, look.Finder.Patience = 3*time.Second, 3*time.Second
		if _, err := look.Run(ctx); err != nil {
			t.Fatal(err)
		}
		_ = daemon.Signal(syscall.SIGCONT)
		host, err := ReadHost(state)
		if err != nil || len(host.Sites) != 2 || len(host.Problems) == 0 {
			t.Errorf("%s hangs: %+v %v", hung, host, err)
		}
		good, err := ReadSite(state, "good")
		if err != nil || good.Taken.Before(before) {
			t.Errorf("%s hangs: the other site's facts are of %v, %v", hung, good.Taken, err)
		}
		if stale, err := ReadSite(state, "moodle"); err != nil || stale.Taken.After(before) {
			t.Errorf("%s hangs: the site's own facts are %+v, %v", hung, stale, err)
		}
	}
}

func TestView(t *testing.T) {
	dir := t.TempDir()
	now := time.Unix(1_700_000_000, 0)
	view := NewView(dir, func() time.Time { return now }, nil)
	if snapshot := view.Snapshot(); !errors.Is(snapshot.Err, ErrNoFacts) || snapshot.Host != nil {
		t.Errorf("before the first look: %+v", snapshot)
	}
	put := func(name string, facts any) {
		t.Helper()
		if err := write(dir, name, facts, -1); err != nil {
			t.Fatal(err)
		}
		now = now.Add(2 * viewAge)
	}
	put("lms", SiteFacts{Format: 1, Taken: now, Name: "lms", Link: "/var/www/lms"})
	put(config.HostName, HostFacts{Format: 1, Taken: now, Sites: []string{"lms", "gone", "../../etc/passwd"}})
	snapshot := view.Snapshot()
	if len(snapshot.All) != 1 || snapshot.Facts("lms") == nil || snapshot.Facts("gone") != nil || snapshot.Err == nil {
		t.Errorf("%+v", snapshot)
	}
	put("lms", SiteFacts{Format: 2, Name: "lms"})
	if snapshot := view.Snapshot(); len(snapshot.All) != 0 {
		t.Errorf("facts of another format are taken: %+v", snapshot)
	}
	if err := os.WriteFile(factsPath(dir, config.HostName), []byte(`{"format":1,`), 0o600); err != nil {
		t.Fatal(err)
	}
	now = now.Add(2 * viewAge)
	if snapshot := view.Snapshot(); snapshot.Host != nil || snapshot.Err == nil {
		t.Errorf("half a file is taken: %+v", snapshot)
	}
}

func TestFresh(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for age, want := range map[time.Duration]bool{0: true, 14 * time.Minute: true, 15 * time.Minute: false, -time.Minute: true, -time.Hour: false} {
		if got := Fresh(now.Add(-age), now); got != want {
			t.Errorf("facts %v old are fresh: %v", age, got)
		}
	}
}

func FuzzFacts(f *testing.F) {
	f.Add([]byte(`{"format":1,"name":"lms","taken":"2026-01-01T00:00:00Z","config":{"dbhost":"x"},"backup":{"components":{"all":{}}}}`))
	dir := f.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "facts"), 0o750); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		for _, name := range []string{"lms", config.HostName} {
			if err := os.WriteFile(factsPath(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_ = NewView(dir, time.Now, nil).Snapshot()
		if facts, err := ReadSite(dir, "lms"); err == nil {
			_ = facts.Site(nil)
		}
	})
}
