package boot_test

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/test/boot"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// updated is a patient whose site is brought to ever newer releases, while cron runs as it does on a server.
type updated struct {
	*patient
	number int           // of the newest release
	span   time.Duration // that an update takes here
}

func newUpdated(t *testing.T) *updated {
	t.Helper()
	p := newPatient(t, boot.Disk{Path: "/var/www", Megabytes: 700}, boot.Disk{Path: "/backup", Megabytes: 900})
	u := &updated{patient: p, span: 6 * time.Second}
	// Moodle's upgrade leaves a row for each step that it has done.
	p.sql(t, "CREATE TABLE "+p.site.Prefix+"steps (id INT AUTO_INCREMENT PRIMARY KEY, version VARCHAR(20))")
	// A site that Moodle has installed knows the versions of its plugins.
	p.must(t, "runuser", "-u", "www-data", "--", "php", "-d", "max_input_vars=5000", p.site.CodeDir+"/admin/cli/upgrade.php", "--non-interactive")
	p.must(t, "systemctl", "start", "cron.service")
	return u
}

// upgradeSteps are those of every release, and what is done between them.
func upgradeSteps(between string) string {
	const step = `sql_run("INSERT INTO {steps} (version) SELECT value FROM {config} WHERE name = 'version'");` + "\n"
	return step + between + "\n" + step
}

// next describes a release that is newer than all before it.
func (u *updated) next() stand.Release {
	u.number++
	return stand.Release{
		Version: fmt.Sprintf("20241007%02d.00", u.number+5), Release: fmt.Sprintf("4.5.%d (Build: 20251103)", u.number+5), Branch: "405",
		Upgrade: upgradeSteps("usleep(700000);"),
	}
}

// archived is a release as an archive in the machine, with its checksum beside it.
func (u *updated) archived(t *testing.T, release stand.Release) (path string) {
	t.Helper()
	if err := os.RemoveAll(u.HostPath("/srv/release")); err != nil {
		t.Fatal(err)
	}
	if err := stand.WriteRelease(u.HostPath("/srv/release/moodle"), release); err != nil {
		t.Fatal(err)
	}
	u.sh(t, "cd /srv && tar -C release -czf moodle.tgz moodle && sha256sum moodle.tgz >moodle.tgz.sha256")
	return "/srv/moodle.tgz"
}

// checkedOut makes a repository of the site's code, the site a checkout of it, and a release the tip of its branch.
func (u *updated) checkedOut(t *testing.T, release stand.Release) {
	t.Helper()
	origin := u.HostPath("/srv/origin")
	commit := func(release stand.Release) {
		if err := stand.WriteRelease(origin, release); err != nil {
			t.Fatal(err)
		}
		u.sh(t, "cd /srv/origin && git add --all && git -c user.name=a -c user.email=a@example.org commit --quiet --message=Moodle")
	}
	u.sh(t, "git init --quiet --initial-branch=MOODLE_405_STABLE /srv/origin")
	commit(stand.Release{})
	u.sh(t, `git clone --quiet --no-checkout /srv/origin /srv/clone && mv /srv/clone/.git `+u.site.CodeDir+`/ && rmdir /srv/clone
		cd `+u.site.CodeDir+` && git -c core.fileMode=false reset --quiet && git config core.fileMode false`)
	commit(release)
	u.sh(t, "chown -R www-data: /srv/origin") // whose code it is not, but who fetches it
}

// standing is all that makes the site, but what cron writes all the time.
type standing struct {
	whole
	plugins, version, cron string
	steps                  int
}

// byUpgrade are the tables that an upgrade writes to.
var byUpgrade = []string{"steps", "upgrade_log", "config_plugins"}

func (u *updated) standing(t *testing.T) (s standing) {
	t.Helper()
	s.whole = u.whole(t)
	// Cron notes there when it has run.
	s.rows = withoutTables(s.rows, u.site.Prefix, "task_log", "config_plugins")
	db, err := sql.Open("mysql", stand.AttachMariaDB(u.HostPath("/run/mysqld/mysqld.sock"), 3306).RootDSN(u.site.Database))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	table := func(name string) string { return u.site.Prefix + name }
	s.plugins = strings.Join(column(t, db, "SELECT CONCAT(plugin, ' ', name, ' ', value) FROM "+table("config_plugins")+" WHERE name NOT LIKE 'lastcron%' ORDER BY 1"), "\n")
	s.steps = len(column(t, db, "SELECT id FROM "+table("steps")))
	s.version = strings.Join(column(t, db, "SELECT value FROM "+table("config")+" WHERE name = 'version'"), ",")
	s.cron = strings.Join(column(t, db, "SELECT CONCAT(name, ' ', value) FROM "+table("config")+
		" WHERE name IN ('cron_enabled', 'upgraderunning', 'maintenance_enabled', 'maintenance_later') AND CONCAT(name, value) <> 'cron_enabled1' ORDER BY 1"), "\n")
	return s
}

// withoutTables leaves the given tables out of a list of rows.
func withoutTables(rows, prefix string, names ...string) string {
	var kept []string
	for line := range strings.Lines(rows) {
		table, _, _ := strings.Cut(line, " ")
		_, name, _ := strings.Cut(table, ".")
		if !slices.Contains(names, strings.TrimPrefix(name, prefix)) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// asBefore wants the site whole on its old version.
func (before standing) asBefore(t *testing.T, after standing) {
	t.Helper()
	before.same(t, after.whole)
	if before.plugins != after.plugins || before.version != after.version || before.cron != after.cron {
		t.Errorf("version %s and was %s; cron %q and was %q; plugins:\n%s", after.version, before.version, after.cron, before.cron, stand.Diff(before.plugins, after.plugins))
	}
}

// onNew wants the site whole on a new version: Moodle's upgrade done once, the code that of the release, all else as it was.
func (before standing) onNew(t *testing.T, after standing, prefix, version string) {
	t.Helper()
	if after.version+".00" != version && after.version != version || after.steps != before.steps+2 || after.cron != before.cron {
		t.Errorf("version %s, want %s; %d steps were done; cron %q and was %q", after.version, version, after.steps-before.steps, after.cron, before.cron)
	}
	was, is := before.whole, after.whole
	was.rows, is.rows = withoutTables(was.rows, prefix, byUpgrade...), withoutTables(is.rows, prefix, byUpgrade...)
	was.code, is.code = withoutReleased(was.code), withoutReleased(is.code)
	was.same(t, is)
}

// withoutReleased leaves out the files of the code in which the releases of this test differ.
func withoutReleased(code string) string {
	var kept []string
	for line := range strings.Lines(code) {
		if !strings.Contains(line, " ./version.php") && !strings.Contains(line, "./lib/db") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// journal is what the tool has written down of an update that has not ended: its phase, and nothing where there is none.
func (p *patient) journal() (phase string, err error) {
	files, err := filepath.Glob(p.HostPath("/var/lib/moodle-exporter/update/" + p.site.Name + "/*.json"))
	if err != nil || len(files) == 0 {
		return "", err
	}
	content, err := os.ReadFile(files[0])
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	var read struct{ Phase string }
	if err == nil {
		err = json.Unmarshal(content, &read)
	}
	return read.Phase, err
}

// works wants the site open, its cron running, and nothing of ours left.
func (u *updated) works(t *testing.T) {
	t.Helper()
	if err := pollFor(t, u.Machine, func() error {
		if seen := u.look(t.Context()); seen != loginPage {
			return fmt.Errorf("there is %s", seen)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if out, err := u.RunAs(t.Context(), "www-data", "php", u.site.CodeDir+"/admin/cli/cron.php", "--keep-alive=0"); err != nil || out.ExitCode != 0 {
		t.Errorf("cron ends with %d (%v): %s%s", out.ExitCode, err, out.Stdout, out.Stderr)
	}
	u.nothingKept(t)
	if left := u.sh(t, `find /var/lib/moodle-exporter/update -name '*.json*' 2>/dev/null || true
		ls `+u.site.Dataroot+`/climaintenance.html 2>/dev/null || true
		pgrep -af '^moodle-exporter (update|maintain)|admin/cli/[u]pgrade.php' || true`); left != "" {
		t.Errorf("left over:\n%s", left)
	}
}
