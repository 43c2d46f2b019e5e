package control

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// closable is a site that consists of a dataroot.
func closable(t *testing.T) (*moodle.Site, string) {
	t.Helper()
	account, err := stand.WebUser()
	must(t, err)
	dir := filepath.Join(stand.TempDir(t), "data")
	must(t, os.Mkdir(dir, 0o770))
	must(t, os.Chown(dir, account.UID, account.GID))
	must(t, os.Chmod(dir, 0o770|os.ModeSetgid))
	return &moodle.Site{Name: "lms", User: account.Name, Config: moodle.PHPConfig{DataRoot: dir}}, filepath.Join(dir, maintenanceFile)
}

func TestMaintenancePage(t *testing.T) {
	site, file := closable(t)
	back := time.Date(2026, 11, 22, 18, 40, 12, 0, time.UTC)
	before, err := EnterMaintenance(site, back)
	if err != nil || before != WasOpen {
		t.Fatal(before, err)
	}
	content, err := os.ReadFile(file)
	must(t, err)
	if text := string(content); !strings.Contains(text, "18:41 UTC, Sunday 22 November 2026") || !strings.Contains(text, "2026-11-22T18:41:00Z") {
		t.Errorf("it does not say when the site is back:\n%s", text)
	}
	info, err := os.Stat(file)
	must(t, err)
	account, _ := stand.WebUser()
	if status := info.Sys().(*syscall.Stat_t); info.Mode() != 0o660 || int(status.Uid) != account.UID || int(status.Gid) != account.GID {
		t.Errorf("mode %v, owner %d:%d", info.Mode(), status.Uid, status.Gid)
	}
	must(t, LeaveMaintenance(site, before))
	onlyIn(t, filepath.Dir(file))
	must(t, LeaveMaintenance(site, before))

	template := "<h1>Wir bauen um</h1>"
	must(t, os.WriteFile(filepath.Join(filepath.Dir(file), maintenanceTemplate), []byte(template), 0o600))
	before, err = EnterMaintenance(site, time.Time{})
	must(t, err)
	if content, _ = os.ReadFile(file); !strings.HasPrefix(string(content), template) {
		t.Errorf("the site's own template is not shown:\n%s", content)
	}
	must(t, LeaveMaintenance(site, before))
	onlyIn(t, filepath.Dir(file), maintenanceTemplate)
}

// onlyIn says what else there is in a directory.
func onlyIn(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, err)
	var got []string
	for _, entry := range entries {
		got = append(got, entry.Name())
	}
	if strings.Join(got, " ") != strings.Join(names, " ") {
		t.Errorf("%s holds %q, want %q", dir, got, names)
	}
}

// Whatever closed the site before closes it afterwards, with all that belongs to it.
func TestMaintenanceStays(t *testing.T) {
	for name, put := range map[string]func(file string) error{
		"file":     func(file string) error { return os.WriteFile(file, []byte("closed by hand"), 0o604) },
		"large":    func(file string) error { return os.WriteFile(file, make([]byte, 2*pageLimit), 0o600) },
		"link":     func(file string) error { return os.Symlink("/etc/hostname", file) },
		"dangling": func(file string) error { return os.Symlink("/nonexistent", file) },
		"pipe":     func(file string) error { return syscall.Mkfifo(file, 0o600) },
		"directory": func(file string) error {
			return errors.Join(os.Mkdir(file, 0o700), os.WriteFile(filepath.Join(file, "inside"), nil, 0o600))
		},
	} {
		t.Run(name, func(t *testing.T) {
			site, file := closable(t)
			must(t, put(file))
			was, err := os.Lstat(file)
			must(t, err)
			for range 2 { // a second call, as after a kill, finds what the first one found
				before, err := EnterMaintenance(site, time.Time{})
				if err != nil || before != WasClosed {
					t.Fatal(before, err)
				}
				if before, ours, err := FoundMaintenance(site); before != WasClosed || !ours || err != nil {
					t.Fatal(before, ours, err)
				}
			}
			if info, err := os.Lstat(file); err != nil || !info.Mode().IsRegular() {
				t.Fatal("our page does not stand there", err)
			}
			must(t, LeaveMaintenance(site, WasClosed))
			if is, err := os.Lstat(file); err != nil || !os.SameFile(was, is) || is.Mode() != was.Mode() {
				t.Errorf("%v is no longer %v: %v", is, was, err)
			}
			onlyIn(t, filepath.Dir(file), maintenanceFile)
			must(t, LeaveMaintenance(site, WasClosed))
			onlyIn(t, filepath.Dir(file), maintenanceFile)
		})
	}
}

// A link to somewhere else is neither written through nor followed.
func TestMaintenanceLeavesTargetsAlone(t *testing.T) {
	site, file := closable(t)
	target := filepath.Join(t.TempDir(), "precious")
	must(t, os.WriteFile(target, []byte("precious"), 0o600))
	must(t, os.Symlink(target, file))
	must(t, os.Symlink(target, filepath.Join(filepath.Dir(file), maintenanceNew)))
	must(t, os.Symlink(target, filepath.Join(filepath.Dir(file), maintenanceAside)))
	before, err := EnterMaintenance(site, time.Time{})
	must(t, err)
	must(t, LeaveMaintenance(site, before))
	if content, err := os.ReadFile(target); err != nil || string(content) != "precious" {
		t.Errorf("%q, %v", content, err)
	}
	if to, err := os.Readlink(file); err != nil || to != target {
		t.Errorf("the link leads to %q, %v", to, err)
	}
}

// After a kill at any moment the next run knows what was there.
func TestMaintenanceAfterKill(t *testing.T) {
	const closedByHand = "closed by hand"
	for name, c := range map[string]struct {
		left  map[string]string // what a killed run has left in dataroot; "/" for a directory
		want  Before
		after string // of the maintenance file, once the next run has left; "" for none
	}{
		"new page not whole":      {map[string]string{maintenanceNew: "half"}, WasOpen, ""},
		"our page, open before":   {map[string]string{maintenanceFile: pageMark}, WasOpen, ""},
		"two names of one":        {map[string]string{maintenanceFile: closedByHand, maintenanceAside: closedByHand}, WasClosed, closedByHand},
		"our page, closed before": {map[string]string{maintenanceFile: pageMark, maintenanceAside: closedByHand, maintenanceNew: "half"}, WasClosed, closedByHand},
		"directory moved away":    {map[string]string{maintenanceAside: "/"}, WasClosed, "/"},
		"opened by hand since":    {map[string]string{maintenanceAside: closedByHand}, WasOpen, ""},
	} {
		t.Run(name, func(t *testing.T) {
			site, file := closable(t)
			for name, content := range c.left {
				path := filepath.Join(filepath.Dir(file), name)
				if content == "/" {
					must(t, os.Mkdir(path, 0o700))
					continue
				}
				must(t, os.WriteFile(path, []byte(content), 0o600))
			}
			before, err := EnterMaintenance(site, time.Time{})
			if err != nil || before != c.want {
				t.Fatal(before, err)
			}
			if before, ours, err := FoundMaintenance(site); before != c.want || !ours || err != nil {
				t.Fatal(before, ours, err)
			}
			must(t, LeaveMaintenance(site, before))
			info, err := os.Lstat(file)
			switch {
			case c.after == "" && !errors.Is(err, fs.ErrNotExist):
				t.Errorf("the site is still closed: %v", err)
			case c.after == "/" && (err != nil || !info.IsDir()):
				t.Error("the directory is not back", err)
			case c.after == closedByHand:
				if content, err := os.ReadFile(file); err != nil || string(content) != closedByHand {
					t.Errorf("%q, %v", content, err)
				}
			}
			if entries, _ := os.ReadDir(filepath.Dir(file)); len(entries) > 1 || len(entries) == 1 && c.after == "" {
				t.Errorf("left over: %v", entries)
			}
		})
	}
}

// Somebody who closes the site while we have it closed keeps it closed.
func TestMaintenanceOfOthers(t *testing.T) {
	site, file := closable(t)
	before, err := EnterMaintenance(site, time.Time{})
	must(t, err)
	must(t, os.WriteFile(file, []byte("closed by somebody"), 0o600))
	if err := LeaveMaintenance(site, before); !errors.Is(err, ErrForeignMaintenance) {
		t.Errorf("%v", err)
	}
	if content, err := os.ReadFile(file); err != nil || string(content) != "closed by somebody" {
		t.Errorf("%q, %v", content, err)
	}
}

// Moodle itself takes our page for its CLI maintenance mode, and can end it.
func TestMaintenanceForMoodle(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"4.5", "5.1"} {
		p := newPlace(t, stand.SiteOptions{Version: version, Name: "maint" + version[:1]})
		before, err := EnterMaintenance(p.site, time.Time{})
		must(t, err)
		state, err := p.cli().MaintenanceStatus(t.Context())
		if want := (Maintenance{File: true}); err != nil || state != want {
			t.Errorf("%s: %+v, %v", version, state, err)
		}
		if out, err := p.CLI(t.Context(), "cron").CombinedOutput(); err == nil || !strings.Contains(string(out), "maintenance mode active") {
			t.Errorf("%s: cron runs: %s, %v", version, out, err)
		}
		must(t, p.CLI(t.Context(), "maintenance", "--disable").Run())
		must(t, LeaveMaintenance(p.site, before))
		must(t, p.CLI(t.Context(), "maintenance", "--enableold").Run())
		must(t, p.CLI(t.Context(), "maintenance", "--enablelater=5").Run())
		state, err = p.cli().MaintenanceStatus(t.Context())
		if until := time.Until(state.Later); err != nil || state.File || !state.Enabled || until < 4*time.Minute || until > 5*time.Minute {
			t.Errorf("%s: %+v, %v", version, state, err)
		}
		must(t, database(t).Exec(t.Context(), "DROP DATABASE "+p.Database))
		if before, err = EnterMaintenance(p.site, time.Time{}); err != nil {
			t.Errorf("%s: without a database: %v", version, err)
		}
		state, err = p.cli().MaintenanceStatus(t.Context())
		if !state.File || err == nil {
			t.Errorf("%s: without a database: %+v, %v", version, state, err)
		}
		must(t, LeaveMaintenance(p.site, before))
	}
}
