package boot_test

import (
	"context"
	"fmt"
	"path"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/test/boot"
)

// pollFor is Poll with this package's patience.
func pollFor(t *testing.T, m *boot.Machine, check func() error) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return m.Poll(ctx, func(context.Context) error { return check() })
}

// manifests are the backups of the site: what has no manifest is none.
func (s *server) manifests(t *testing.T) []string {
	t.Helper()
	return glob(t, s.HostPath(path.Join("/backup/maintenance", s.site.Name, "*", "manifest.json")))
}

// awaitBackup waits for one more backup than there were, and for its metrics.
func (s *server) awaitBackup(t *testing.T, before int) {
	t.Helper()
	err := s.await(t, func() error {
		if len(s.manifests(t)) <= before {
			return fmt.Errorf("there are still %d backups", before)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%v; the unit says: %s; cron says: %s; jobs: %s", err, s.Journal(t.Context(), "moodle-exporter-backup.service"),
			s.Journal(t.Context(), "cron.service"), s.jobs(t))
	}
	awaitSamples(t, s.Machine, []sample{
		{"job_last_result", []string{"site", s.site.Name, "name", "backup"}, 1},
		{"job_running", []string{"site", s.site.Name, "name", "backup"}, 0},
	})
}

func (s *server) jobs(t *testing.T) string {
	t.Helper()
	result, err := s.Run(t.Context(), "moodle-exporter", "jobs")
	return fmt.Sprint(result.Stdout, result.Stderr, err)
}

// testBackupByTimer lets the shipped timer elapse now; the calendar it ships with is tested beside the units.
func testBackupByTimer(t *testing.T, s *server) {
	before := len(s.manifests(t))
	const dropIn = "/etc/systemd/system/moodle-exporter-backup.timer.d/now.conf"
	if err := s.WriteFile(t.Context(), dropIn, []byte("[Timer]\nOnActiveSec=0\nAccuracySec=1ms\n"), 0o644, "root:root"); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{
		{"systemctl", "daemon-reload"},
		{"systemctl", "restart", "moodle-exporter-backup.timer"},
	} {
		if _, err := s.Must(t.Context(), command...); err != nil {
			t.Fatal(err)
		}
	}
	s.awaitBackup(t, before)
	err := s.await(t, func() error {
		result, err := s.Must(t.Context(), "systemctl", "show", "moodle-exporter-backup.service", "--property=Result,ActiveState,ExecMainStatus")
		if err == nil && result != "Result=success\nExecMainStatus=0\nActiveState=inactive\n" {
			err = fmt.Errorf("the backup unit: %q", result)
		}
		return err
	})
	if err != nil {
		t.Errorf("%v: %s", err, s.Journal(t.Context(), "moodle-exporter-backup.service"))
	}
	// The shipped unit can read that backup back, and note that it has.
	if _, err := s.Must(t.Context(), "systemctl", "start", "moodle-exporter-verify.service"); err != nil {
		t.Errorf("%v: %s", err, s.Journal(t.Context(), "moodle-exporter-verify.service"))
	}
	awaitSamples(t, s.Machine, []sample{
		{"job_last_result", []string{"site", s.site.Name, "name", "verify"}, 1},
		{"backup_last_verify_result", []string{"site", s.site.Name}, 1},
		{"backup_damaged_files", []string{"site", s.site.Name}, 0},
	})
	for _, command := range [][]string{
		{"rm", "-r", path.Dir(dropIn)},
		{"systemctl", "daemon-reload"},
		{"systemctl", "restart", "moodle-exporter-backup.timer"},
	} {
		if _, err := s.Must(t.Context(), command...); err != nil {
			t.Fatal(err)
		}
	}
}

// testCron waits for the minute at which Moodle's own line runs as www-data, and ours, made due each minute, on a
// machine whose cron sees no systemd.
func testCron(t *testing.T, s *server) {
	const table = "/etc/cron.d/moodle-exporter"
	shipped, err := s.ReadFile(t.Context(), table)
	if err != nil {
		t.Fatal(err)
	}
	due := strings.Replace(string(shipped), "0 3 * * 0 ", "* * * * * ", 1)
	if due == string(shipped) {
		t.Fatalf("no line for Sunday 03:00 in %s", shipped)
	}
	before := len(s.manifests(t))
	s.inertUnderSystemd(t, string(shipped))

	const dropIn = "/etc/systemd/system/cron.service.d/blind.conf"
	change := func(cron string, commands ...[]string) {
		if err := s.WriteFile(t.Context(), table, []byte(cron), 0o644, "root:root"); err != nil {
			t.Fatal(err)
		}
		for _, command := range append(commands, []string{"systemctl", "daemon-reload"}, []string{"systemctl", "restart", "cron.service"}) {
			if _, err := s.Must(t.Context(), command...); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.WriteFile(t.Context(), dropIn, []byte("[Service]\nTemporaryFileSystem=/run/systemd\n"), 0o644, "root:root"); err != nil {
		t.Fatal(err)
	}
	started := float64(time.Now().Unix())
	change(due)
	s.awaitBackup(t, before)
	err = s.await(t, func() error {
		got, err := scrape(t.Context(), s.Machine)
		if err != nil {
			return err
		}
		last, err := got.value("cron_last_start_timestamp_seconds", "site", s.site.Name)
		if err == nil && last < started {
			err = fmt.Errorf("Moodle's cron last ran at %v, before %v", last, started)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	change(string(shipped), []string{"rm", "-r", path.Dir(dropIn)})
}

// inertUnderSystemd runs each command of the table as cron would, where systemd is.
func (s *server) inertUnderSystemd(t *testing.T, table string) {
	t.Helper()
	work := func() string {
		facts, err := s.Must(t.Context(), "stat", "--format=%y", "/var/lib/moodle-exporter/facts/"+s.site.Name+".json")
		if err != nil {
			t.Fatal(err)
		}
		return s.jobs(t) + facts
	}
	tried, before := 0, work()
	for line := range strings.Lines(table) {
		_, command, found := strings.Cut(line, " root ")
		if !found {
			continue
		}
		tried++
		if out, err := s.Must(t.Context(), "sh", "-c", command); err != nil || out != "" {
			t.Errorf("%s is not silent under systemd: %q (%v)", command, out, err)
		}
	}
	if after := work(); tried != 5 || after != before {
		t.Errorf("%d lines tried; jobs and facts before:\n%s\nafter:\n%s", tried, before, after)
	}
}
