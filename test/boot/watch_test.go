package boot_test

import (
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// testProbe: nobody has started the probe, and its facts are there.
func testProbe(t *testing.T, s *server) {
	path := "/var/lib/moodle-exporter/facts/" + s.site.Name + ".json"
	var facts []byte
	err := s.await(t, func() error {
		var err error
		facts, err = s.ReadFile(t.Context(), path)
		return err
	})
	if err != nil {
		t.Fatalf("%v; the probe says: %s", err, s.Journal(t.Context(), "moodle-exporter-probe.service"))
	}
	owner, err := s.Must(t.Context(), "stat", "--format=%U:%G %a", path)
	if err != nil || owner != "root:moodle-exporter 640\n" {
		t.Errorf("facts are %s (%v), want root:moodle-exporter 640", owner, err)
	}
	// As it is, and as JSON and PHP write it.
	quoted := strconv.Quote(s.site.Password)
	for _, secret := range []string{s.site.Password, quoted[1 : len(quoted)-1], strings.ReplaceAll(s.site.Password, "'", `\'`)} {
		if strings.Contains(string(facts), secret) {
			t.Errorf("the facts hold the database password: %s", facts)
		}
	}
	trigger, err := s.Property(t.Context(), "moodle-exporter-probe.timer", "LastTriggerUSec")
	if err != nil || trigger == "" || trigger == "n/a" {
		t.Errorf("the timer has not triggered: %q (%v)", trigger, err)
	}
	err = s.await(t, func() error {
		result, err := s.Property(t.Context(), "moodle-exporter-probe.service", "Result")
		state, _ := s.Property(t.Context(), "moodle-exporter-probe.service", "ActiveState")
		if err == nil && (result != "success" || state != "inactive") {
			err = fmt.Errorf("the probe is %s, with %s", state, result)
		}
		return err
	})
	if err != nil {
		t.Errorf("%v: %s", err, s.Journal(t.Context(), "moodle-exporter-probe.service"))
	}
}

func testMetrics(t *testing.T, s *server) {
	site := []string{"site", s.site.Name}
	samples := []sample{
		{"database_up", nil, 1},
		{"site_info", append([]string{"wwwroot", s.site.WWWRoot, "branch", s.site.Branch, "release", s.site.Release}, site...), 1},
		{"cron_enabled", site, 1},
		{"maintenance_mode", append([]string{"kind", "cli"}, site...), 0},
		{"backup_enabled", site, 1},
		{"exporter_config_last_reload_successful", nil, 1},
		{"phpfpm_up", []string{"pool", "www"}, 1},
		{"phpfpm_max_children", []string{"pool", "www"}, 5},
		{"phpfpm_listen_queue", []string{"pool", "www"}, 0},
		{"nginx_up", []string{"server", "127.0.0.1:8080"}, 1},
	}
	for _, unit := range []string{"nginx.service", "mariadb.service", "redis-server.service", s.site.FPMUnit} {
		samples = append(samples, sample{"service_up", []string{"unit", unit}, 1}, sample{"service_state", []string{"unit", unit, "state", "active"}, 1})
	}
	awaitSamples(t, s.Machine, samples)
	got, err := scrape(t.Context(), s.Machine)
	if err != nil {
		t.Fatal(err)
	}
	for _, metric := range got["moodle_scrape_collector_success"].GetMetric() {
		if metric.GetGauge().GetValue() != 1 {
			t.Errorf("collector failed: %s; journal: %s", metric, s.Journal(t.Context(), "moodle-exporter.service"))
		}
	}
}

// testFilesystems compares with what the host sees: the exporter's own mounts are all read-only,
// and some are hidden.
func testFilesystems(t *testing.T, s *server) {
	var samples []sample
	for _, disk := range disks {
		var stat syscall.Statfs_t
		if err := syscall.Statfs(s.HostPath(disk.Path), &stat); err != nil {
			t.Fatal(err)
		}
		readonly := 0.0
		if disk.ReadOnly {
			readonly = 1
		}
		labels := []string{"mountpoint", disk.Path, "fstype", "ext4"}
		samples = append(samples, sample{"host_filesystem_readonly", labels, readonly}, sample{"host_filesystem_responding", labels, 1},
			sample{"host_filesystem_size_bytes", labels, float64(stat.Blocks) * float64(stat.Frsize)},
			sample{"host_filesystem_files", labels, float64(stat.Files)})
	}
	for role, mountpoint := range map[string]string{"root": "/", "moodledata": "/var/www", "code": "/var/www", "backup": "/backup"} {
		samples = append(samples, sample{"host_filesystem_role_info", []string{"mountpoint", mountpoint, "role", role}, 1})
	}
	awaitSamples(t, s.Machine, samples)
	// A disk that is mounted later is seen as well, through the sandbox.
	late := []string{"mount", "--bind", "/srv/archive", "/mnt"}
	if _, err := s.Must(t.Context(), late...); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = s.Must(t.Context(), "umount", "/mnt") }()
	mounts, err := s.ReadFile(t.Context(), fmt.Sprintf("/proc/%d/mountinfo", s.exporterPid(t)))
	if err != nil || !strings.Contains(string(mounts), " / /mnt ") {
		t.Errorf("a new mount does not reach the exporter (%v)", err)
	}
}

// await polls until check succeeds.
func (s *server) await(t *testing.T, check func() error) error {
	t.Helper()
	return pollFor(t, s.Machine, check)
}

// testHungMount: a filesystem that has stopped answering delays neither the page nor the start of
// the unit, whose sandbox has to touch every mount.
func testHungMount(t *testing.T, s *server) {
	if _, err := s.Must(t.Context(), "bindfs", "/srv/archive", "/mnt"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Must(t.Context(), "pkill", "-STOP", "-x", "bindfs"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if _, err := s.Must(t.Context(), "pkill", "-CONT", "-x", "bindfs"); err != nil {
			t.Error(err)
		}
		if err := pollFor(t, s.Machine, func() error { // whoever hung there is busy with it for a moment yet
			_, err := s.Must(t.Context(), "umount", "/mnt")
			return err
		}); err != nil {
			t.Error(err)
		}
	}()
	hung := []sample{
		{"host_filesystem_responding", []string{"mountpoint", "/mnt"}, 0},
		{"host_filesystem_responding", []string{"mountpoint", "/backup"}, 1},
		{"scrape_collector_success", []string{"collector", "cpu"}, 1},
		{"database_up", nil, 1},
	}
	awaitSamples(t, s.Machine, hung)
	before := s.exporterPid(t)
	if _, err := s.Must(t.Context(), "systemctl", "restart", "moodle-exporter.service"); err != nil {
		t.Fatal(err)
	}
	awaitSamples(t, s.Machine, hung)
	if s.exporterPid(t) == before {
		t.Error("the exporter was not restarted")
	}
}
