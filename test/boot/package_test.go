package boot_test

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/test/boot"
)

// Two builds of the program, the second newer.
const firstVersion, secondVersion = "1.0.0", "1.1.0"

// packaged is a machine with a site on which our package comes and goes.
type packaged struct {
	*server
	debs map[string]string // by version
	// kept are the state and the backups when the package was removed.
	kept string
}

// TestPackage follows the Debian package beside a site, as an administrator has it: installed, told what it has to be told,
// upgraded, removed, installed again, purged. The steps build on each other.
func TestPackage(t *testing.T) {
	boot.Need(t)
	t.Parallel()
	m, err := boot.Start(context.Background(), boot.Options{Disks: disks[:2]})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	site, err := m.InstallSite(t.Context(), boot.SiteOptions{Fixture: true, WithoutStatus: true})
	if err != nil {
		t.Fatal(err)
	}
	p := &packaged{server: &server{Machine: m, site: site}, debs: map[string]string{}}
	dir := t.TempDir()
	for _, version := range []string{firstVersion, secondVersion} {
		if p.debs[version], err = boot.BuildPackage(t.Context(), dir, version); err != nil {
			t.Fatal(err)
		}
	}
	for _, step := range []struct {
		name string
		test func(*testing.T, *packaged)
	}{
		{"installed", testPackageInstalled},
		{"metrics flow within a minute", testPackageMetrics},
		{"a backup by hand", testPackageBackup},
		{"upgraded", testPackageUpgraded},
		{"removed", testPackageRemoved},
		{"installed again", testPackageAgain},
		{"purged", testPackagePurged},
		{"installed after all", testPackageAfterAll},
	} {
		if !t.Run(step.name, func(t *testing.T) { step.test(t, p) }) {
			break
		}
	}
}

func (p *packaged) install(t *testing.T, version string) {
	t.Helper()
	if said, err := p.InstallPackage(t.Context(), p.debs[version]); err != nil {
		t.Fatal(said, err)
	}
}

// must returns the output of a program in the machine without the white space around it.
func (p *packaged) must(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := p.Must(t.Context(), argv...)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// units are ours that are loaded, with their state.
func (p *packaged) units(t *testing.T) string {
	t.Helper()
	return p.must(t, "systemctl", "list-units", "--all", "--plain", "--no-legend", "moodle-exporter*")
}

func testPackageInstalled(t *testing.T, p *packaged) {
	p.must(t, "touch", "--date=-1 second", "/root/before")
	p.before = p.services(t)
	p.install(t, firstVersion)
	p.sameServices(t)
	for _, unit := range boot.Enabled() {
		if err := p.WaitActive(t.Context(), unit); err != nil {
			t.Error(err)
		}
		if state := p.must(t, "systemctl", "is-enabled", unit); state != "enabled" {
			t.Errorf("%s is %s", unit, state)
		}
	}
	for _, job := range []string{"backup", "verify", "drill"} {
		if runs := p.must(t, "journalctl", "--quiet", "--unit=moodle-exporter-"+job+".service"); runs != "" {
			t.Errorf("the installation has started %s: %s", job, runs)
		}
	}
	if mode := p.must(t, "stat", "--format=%U:%G %a", "/etc/moodle-exporter", "/var/lib/moodle-exporter"); mode != "root:moodle-exporter 750\nroot:moodle-exporter 750" {
		t.Errorf("directories are %q", mode)
	}
	// Of /etc nothing has changed but the account and the package's own two files.
	accounts := []string{"passwd", "group", "shadow", "gshadow", "subuid", "subgid", ".pwd.lock"}
	for _, file := range strings.Fields(p.must(t, "find", "/etc", "-type", "f", "-newer", "/root/before")) {
		name := strings.TrimSuffix(strings.TrimPrefix(file, "/etc/"), "-")
		if !slices.Contains(accounts, name) && name != "default/moodle-exporter" && name != "cron.d/moodle-exporter" {
			t.Errorf("the installation has written %s", file)
		}
	}
}

// testPackageMetrics does what the README asks of an administrator, with nothing but what "config check" prints.
func testPackageMetrics(t *testing.T, p *packaged) {
	started := time.Now()
	site := []string{"site", p.site.Name}
	awaitSamples(t, p.Machine, []sample{
		{"site_info", append([]string{"wwwroot", p.site.WWWRoot, "branch", p.site.Branch}, site...), 1},
		{"maintenance_mode", append([]string{"kind", "cli"}, site...), 0},
		{"database_up", nil, 0},
		{"phpfpm_up", []string{"pool", "www"}, 0},
	})
	if err := p.ApplyGrants(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.sameServices(t)
	advice := p.must(t, "moodle-exporter", "config", "check")
	p.paste(t, advice, "Status of the PHP-FPM pool www: add to ")
	p.paste(t, advice, "Status of nginx: write to ")
	p.must(t, "systemctl", "reload", p.site.FPMUnit, "nginx.service")
	p.must(t, "moodle-exporter", "probe")
	awaitSamples(t, p.Machine, []sample{
		{"database_up", nil, 1},
		{"cron_enabled", site, 1},
		{"phpfpm_up", []string{"pool", "www"}, 1},
		{"phpfpm_max_children", []string{"pool", "www"}, 5},
		{"nginx_up", []string{"server", "127.0.0.1:8089"}, 1},
	})
	if took := time.Since(started); took > time.Minute {
		t.Errorf("the metrics took %v", took)
	}
	for unit, before := range p.before {
		pid, _, _ := strings.Cut(strings.TrimPrefix(before[strings.Index(before, "MainPID="):], "MainPID="), "\n")
		if now := p.must(t, "systemctl", "show", unit, "--property=MainPID", "--value"); now != pid {
			t.Errorf("%s was process %s before the installation and is %s", unit, pid, now)
		}
	}
	p.before = p.services(t) // the reloads were ours
}

// paste appends the block that stands below a line of the advice to the file that this line names.
func (p *packaged) paste(t *testing.T, advice, title string) {
	t.Helper()
	_, rest, found := strings.Cut(advice, title)
	where, rest, _ := strings.Cut(rest, "\n\n")
	file, _, _ := strings.Cut(where, ",")
	if !found || !path.IsAbs(file) {
		t.Fatalf("no %q in %s", title, advice)
	}
	var block strings.Builder
	for line := range strings.Lines(rest) {
		text, indented := strings.CutPrefix(line, "    ")
		if !indented {
			break
		}
		block.WriteString(text)
	}
	p.must(t, "sh", "-c", `printf '%s\n' "$1" >>"$2"`, "sh", block.String(), file)
}

func testPackageBackup(t *testing.T, p *packaged) {
	p.must(t, "moodle-exporter", "backup")
	p.must(t, "moodle-exporter", "backup", "verify", "latest", "--read-data")
	if made := p.manifests(t); len(made) != 1 {
		t.Fatalf("backups: %q", made)
	}
	awaitSamples(t, p.Machine, []sample{
		{"job_last_result", []string{"site", p.site.Name, "name", "backup"}, 1},
		{"job_last_result", []string{"site", p.site.Name, "name", "verify"}, 1},
		{"backup_last_verify_result", []string{"site", p.site.Name}, 1},
	})
	if found := p.must(t, "find", "/etc/moodle-exporter", "-mindepth", "1"); found != "" {
		t.Errorf("configuration was written: %s", found)
	}
}

// inventory is every file of a tree with its size and time.
func (p *packaged) inventory(t *testing.T, dirs ...string) string {
	t.Helper()
	return p.must(t, append(append([]string{"find"}, dirs...), "-type", "f", "-printf", "%p %s %T@ %m %U %G\n")...)
}

func testPackageUpgraded(t *testing.T, p *packaged) {
	const drill, verify = "moodle-exporter-drill.timer", "moodle-exporter-verify.timer"
	p.must(t, "systemctl", "disable", "--now", "--quiet", drill)
	p.must(t, "systemctl", "stop", verify)
	p.must(t, "systemctl", "mask", "--quiet", verify)
	p.must(t, "sed", "-i", "s/^ARGS=.*/ARGS=--log.format=json/", "/etc/default/moodle-exporter")
	pid := p.exporterPid(t)
	p.must(t, "systemctl", "stop", "moodle-exporter-probe.timer") // its facts are new every time
	jobs, kept := p.jobs(t), p.inventory(t, "/var/lib/moodle-exporter/jobs", "/var/lib/moodle-exporter/log", "/backup")
	p.install(t, secondVersion)
	if err := p.WaitActive(t.Context(), "moodle-exporter.service"); err != nil {
		t.Fatal(err)
	}
	awaitSamples(t, p.Machine, []sample{
		{"exporter_build_info", []string{"version", secondVersion}, 1},
		{"job_last_result", []string{"site", p.site.Name, "name", "backup"}, 1},
		{"database_up", nil, 1},
	})
	if now := p.exporterPid(t); now == pid {
		t.Error("the exporter is still the process of the first package")
	}
	if arguments := p.must(t, "sh", "-c", "tr '\\0' ' ' </proc/$1/cmdline", "sh", fmt.Sprint(p.exporterPid(t))); !strings.Contains(arguments, "--log.format=json") {
		t.Errorf("the settings of /etc/default have not survived: %s", arguments)
	}
	for unit, want := range map[string]string{drill: "disabled inactive", verify: "masked inactive", "moodle-exporter-backup.timer": "enabled active"} {
		state := p.must(t, "sh", "-c", `systemctl is-enabled "$1"; systemctl is-active "$1"; true`, "sh", unit)
		if got := strings.Join(strings.Fields(state), " "); got != want {
			t.Errorf("%s is %s after the upgrade, want %s", unit, got, want)
		}
	}
	if now := p.jobs(t); now != jobs {
		t.Errorf("jobs before the upgrade:\n%s\nand after it:\n%s", jobs, now)
	}
	if now := p.inventory(t, "/var/lib/moodle-exporter/jobs", "/var/lib/moodle-exporter/log", "/backup"); now != kept {
		t.Errorf("state and backups before the upgrade:\n%s\nand after it:\n%s", kept, now)
	}
	p.sameServices(t)
}

func testPackageRemoved(t *testing.T, p *packaged) {
	p.kept = p.inventory(t, "/var/lib/moodle-exporter/jobs", "/backup")
	p.must(t, "dpkg", "--no-triggers", "--remove", "moodle-exporter")
	if left := p.units(t); strings.Contains(left, " loaded ") || strings.Contains(left, " failed ") {
		t.Errorf("units left: %s", left)
	}
	if processes, err := p.Run(t.Context(), "pgrep", "-x", "moodle-exporter"); err != nil || processes.ExitCode != 1 {
		t.Errorf("still running: %s (%v)", processes.Stdout, err)
	}
	if now := p.inventory(t, "/var/lib/moodle-exporter/jobs", "/backup"); now != p.kept {
		t.Errorf("state and backups before the removal:\n%s\nand after it:\n%s", p.kept, now)
	}
	if stamps := p.must(t, "find", "/var/lib/systemd/timers", "-name", "*moodle-exporter*"); stamps != "" {
		t.Errorf("a new installation would make up for runs since %s", stamps)
	}
	if settings := p.must(t, "cat", "/etc/default/moodle-exporter"); !strings.Contains(settings, "ARGS=--log.format=json") {
		t.Error("removal has taken the settings")
	}
	p.sameServices(t)
}

func testPackageAgain(t *testing.T, p *packaged) {
	p.install(t, secondVersion)
	awaitSamples(t, p.Machine, []sample{{"job_last_result", []string{"site", p.site.Name, "name", "backup"}, 1}})
	if state, err := p.Run(t.Context(), "systemctl", "is-enabled", "moodle-exporter-drill.timer"); err != nil || state.Stdout != "disabled\n" {
		t.Errorf("what was disabled before the removal is %s (%v)", state.Stdout, err)
	}
	if err := p.WaitActive(t.Context(), "moodle-exporter-backup.timer"); err != nil {
		t.Error(err)
	}
	p.sameServices(t)
}

// testPackagePurged has backups at the place where they are most in danger as well.
func testPackagePurged(t *testing.T, p *packaged) {
	const below = "/var/lib/moodle-exporter/jobs/backups"
	config := "/root/below.yml"
	if err := p.WriteFile(t.Context(), config, []byte("backup: {dir: "+below+"}\n"), 0o600, "root:root"); err != nil {
		t.Fatal(err)
	}
	p.must(t, "moodle-exporter", "--config.file="+config, "backup", "create", "--only=database")
	kept := p.inventory(t, below, "/backup")
	said := p.must(t, "dpkg", "--no-triggers", "--purge", "moodle-exporter")
	for _, want := range []string{"/jobs stays: there are backups in it", "DROP USER 'moodle-exporter'@'localhost'"} {
		if !strings.Contains(said, want) {
			t.Errorf("the purge does not say %q: %s", want, said)
		}
	}
	if now := p.inventory(t, below, "/backup"); now != kept {
		t.Errorf("backups before the purge:\n%s\nand after it:\n%s", kept, now)
	}
	if left := p.must(t, "find", "/var/lib/moodle-exporter", "-mindepth", "1", "-maxdepth", "1"); left != "/var/lib/moodle-exporter/jobs" {
		t.Errorf("state that is left: %s", left)
	}
	p.must(t, "rm", "-r", "/var/lib/moodle-exporter")
	// The mask is the administrator's own, and lies in /etc/systemd/system.
	p.must(t, "systemctl", "unmask", "--quiet", "moodle-exporter-verify.timer")
	left := p.must(t, "find", "/usr", "/etc", "/run", "/var", "-name", "*moodle-exporter*", "-not", "-path", "/var/log/*",
		"-not", "-path", "/run/systemd/*")
	if left != "/etc/nginx/conf.d/moodle-exporter.conf" { // the administrator's
		t.Errorf("left after the purge:\n%s", left)
	}
	p.must(t, "getent", "passwd", "moodle-exporter")
	if account := p.must(t, "mariadb", "--skip-column-names", "--execute=SELECT User FROM mysql.user WHERE User='moodle-exporter'"); account == "" {
		t.Error("the database account is gone: it is not the package's to remove")
	}
	p.sameServices(t)
}

// testPackageAfterAll installs where the administrator lets packages start nothing, then does it.
func testPackageAfterAll(t *testing.T, p *packaged) {
	const policy = "/usr/sbin/policy-rc.d"
	if err := p.WriteFile(t.Context(), policy, []byte("#!/bin/sh\nexit 101\n"), 0o755, "root:root"); err != nil {
		t.Fatal(err)
	}
	p.install(t, secondVersion)
	if left := p.units(t); strings.Contains(left, " active ") {
		t.Errorf("started against policy-rc.d: %s", left)
	}
	p.must(t, "rm", policy)
	p.must(t, append([]string{"systemctl", "start"}, boot.Enabled()...)...)
	awaitSamples(t, p.Machine, []sample{
		{"site_info", []string{"site", p.site.Name}, 1},
		{"database_up", nil, 1},
	})
	p.sameServices(t)
	if _, err := p.Get(t.Context(), p.site.WWWRoot+"/login/index.php"); err != nil {
		t.Errorf("the site does not answer any more: %v", err)
	}
}
