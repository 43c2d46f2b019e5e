package boot_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/test/boot"
)

// patience is how long a condition of the running machine may take to come true. Cron looks at its
// tables once a minute.
const patience = 75 * time.Second

// server is the shared machine with a site and our package on it.
type server struct {
	*boot.Machine
	site   *boot.Site
	before map[string]string // the site's services before the installation
}

// TestExporterOnAServer follows the package from installation to removal on a machine with a
// site. The steps build on each other.
func TestExporterOnAServer(t *testing.T) {
	t.Parallel() // beside tests with machines of their own; those of the shared one have ended by now
	m := machine(t)
	site, err := m.InstallSite(t.Context(), boot.SiteOptions{Fixture: true})
	if err != nil {
		t.Fatal(err)
	}
	binary, err := boot.BuildExporter(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Machine: m, site: site}
	s.trace(t)
	s.before = s.services(t)
	if err := m.InstallExporter(t.Context(), binary); err != nil {
		t.Fatal(err)
	}
	if err := m.ApplyGrants(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		name string
		test func(*testing.T, *server)
	}{
		{"units are sound", testUnits},
		{"units are tight", testExposure},
		{"probe runs by its timer", testProbe},
		{"metrics flow", testMetrics},
		{"filesystems are those of the host", testFilesystems},
		{"exporter has no rights", testRights},
		{"exporter can run nothing", testNoPrograms},
		{"reload", testReload},
		{"backup by timer", testBackupByTimer},
		{"copy in the unit of the backup", testCopyUnit},
		{"package upgrade in the unit of the housekeeping", testUpgradeUnit},
		{"what jobs have made is closed", testModes},
		{"who may read secrets", testSecretsClosed},
		{"ordinary users", testOrdinaryUser},
		{"hung mount", testHungMount},
		{"cron, also without systemd", testCron},
		{"database stopped", testDatabaseStopped},
		{"password stands nowhere", testSecrets},
		{"the site's code runs as its user", testRanAs},
		{"nothing else was touched", func(t *testing.T, s *server) { s.sameServices(t, "mariadb.service", "cron.service") }},
		{"removal", testRemoval},
	} {
		t.Run(step.name, func(t *testing.T) { step.test(t, s) })
	}
}

// services tells for each service of the site the process it is and when it was started or reloaded.
func (s *server) services(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, unit := range []string{"mariadb.service", "nginx.service", s.site.FPMUnit, "redis-server.service", "cron.service", "dbus.service"} {
		state, err := s.Must(t.Context(), "systemctl", "show", unit,
			"--property=MainPID,NRestarts,ActiveEnterTimestampMonotonic,StateChangeTimestampMonotonic")
		if err != nil {
			t.Fatal(err)
		}
		found[unit] = state
	}
	return found
}

// sameServices fails for services that are not as before the installation, but those that the
// tests themselves have restarted.
func (s *server) sameServices(t *testing.T, restarted ...string) {
	t.Helper()
	now := s.services(t)
	for _, unit := range restarted {
		delete(now, unit)
	}
	for unit, state := range now {
		if state != s.before[unit] {
			t.Errorf("%s was touched: before\n%snow\n%s", unit, s.before[unit], state)
		}
	}
}

func testUnits(t *testing.T, s *server) {
	s.sameServices(t)
	for _, unit := range []string{"moodle-exporter.service", "moodle-exporter-probe.timer", "moodle-exporter-backup.timer", "moodle-exporter-verify.timer", "moodle-exporter-drill.timer", "moodle-exporter-maintain.timer"} {
		if err := s.WaitActive(t.Context(), unit); err != nil {
			t.Error(err)
		}
	}
	verdict, err := s.Run(t.Context(), "sh", "-c", "systemd-analyze verify --man=no /usr/lib/systemd/system/moodle-exporter*")
	if err != nil || verdict.ExitCode != 0 || verdict.Stderr != "" {
		t.Errorf("systemd-analyze verify: exit status %d (%v): %s", verdict.ExitCode, err, verdict.Stderr)
	}
	for job, when := range map[string]string{"backup": "Sun", "verify": "Wed"} {
		calendar, err := s.Property(t.Context(), "moodle-exporter-"+job+".timer", "TimersCalendar")
		if err != nil || !strings.Contains(calendar, "OnCalendar="+when+" *-*-* 03:00:00") {
			t.Errorf("%s timer: %s (%v)", job, calendar, err)
		}
		// Persistent must not mean a run at once on the day of installation.
		if runs, err := s.Must(t.Context(), "journalctl", "--quiet", "--unit=moodle-exporter-"+job+".service"); err != nil || runs != "" {
			t.Errorf("the installation has started %s: %s (%v)", job, runs, err)
		}
	}
}

func testReload(t *testing.T, s *server) {
	pid, err := s.Property(t.Context(), "moodle-exporter.service", "MainPID")
	if err != nil {
		t.Fatal(err)
	}
	const file = "/etc/moodle-exporter/moodle-exporter.yml"
	reload := func(content string, want float64) {
		if err := s.WriteFile(t.Context(), file, []byte(content), 0o640, "root:moodle-exporter"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Must(t.Context(), "systemctl", "reload", "moodle-exporter.service"); err != nil {
			t.Fatal(err)
		}
		awaitSamples(t, s.Machine, []sample{{"exporter_config_last_reload_successful", nil, want}})
	}
	reload("nonsense: 1\n", 0)
	reload("thresholds: {cert_warning_days: 31}\n", 1)
	awaitSamples(t, s.Machine, []sample{{"threshold", []string{"name", "cert_warning_days"}, 31}})
	if _, err := s.Must(t.Context(), "rm", file); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Must(t.Context(), "systemctl", "reload", "moodle-exporter.service"); err != nil {
		t.Fatal(err)
	}
	if now, err := s.Property(t.Context(), "moodle-exporter.service", "MainPID"); err != nil || now != pid {
		t.Errorf("process %s before reload, %s after (%v)", pid, now, err)
	}
}

func testDatabaseStopped(t *testing.T, s *server) {
	stopped, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := s.Must(stopped, "systemctl", "stop", "mariadb.service"); err != nil {
		t.Fatal(err)
	}
	down := []sample{
		{"service_up", []string{"unit", "mariadb.service"}, 0},
		{"service_up", []string{"unit", "nginx.service"}, 1},
		{"database_up", nil, 0},
		{"scrape_collector_success", []string{"collector", "cpu"}, 1},
	}
	awaitSamples(t, s.Machine, down)
	if _, err := s.Must(stopped, "systemctl", "start", "mariadb.service"); err != nil {
		t.Fatal(err)
	}
	awaitSamples(t, s.Machine, []sample{{"service_up", []string{"unit", "mariadb.service"}, 1}, {"database_up", nil, 1}})
}

func testRemoval(t *testing.T, s *server) {
	if err := s.RemoveExporter(t.Context()); err != nil {
		t.Fatal(err)
	}
	left, err := s.Must(t.Context(), "systemctl", "list-units", "--all", "--plain", "--no-legend", "moodle-exporter*")
	if err != nil || left != "" {
		t.Errorf("units left: %s (%v)", left, err)
	}
	if found := glob(t, s.HostPath("/etc/systemd/system/*/moodle-exporter*")); len(found) > 0 {
		t.Errorf("links of removed units left: %q", found)
	}
	for _, path := range []string{"/var/lib/moodle-exporter/facts", "/backup/maintenance/" + s.site.Name} {
		if result, err := s.Run(t.Context(), "test", "-d", path); err != nil || result.ExitCode != 0 {
			t.Errorf("%s is gone (%v): state and backups are not the package's to remove", path, err)
		}
	}
	if _, err := s.Get(t.Context(), s.site.WWWRoot+"/login/index.php"); err != nil {
		t.Errorf("the site does not answer any more: %v", err)
	}
	s.sameServices(t, "mariadb.service", "cron.service")
}
