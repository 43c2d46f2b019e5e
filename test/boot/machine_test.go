package boot_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/boot"
)

func TestUnitsOfThePackagesRun(t *testing.T) {
	m := machine(t)
	t.Logf("booted in %v", m.BootTime)
	units := []string{"mariadb.service", "nginx.service", "redis-server.service", "cron.service", "dbus.service"}
	for _, pool := range glob(t, "/lib/systemd/system/php*-fpm.service") {
		units = append(units, filepath.Base(pool))
	}
	for _, unit := range units {
		if err := m.WaitActive(t.Context(), unit); err != nil {
			t.Error(err)
		}
	}
	failed, err := m.Must(t.Context(), "systemctl", "--failed", "--plain", "--no-legend")
	if err != nil || failed != "" {
		t.Errorf("failed units: %s (%v)", failed, err)
	}
}

func TestHostAndMachineDoNotSeeEachOther(t *testing.T) {
	m := machine(t)
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{here, "/usr/local/bin/*", "/home/*", "/root/[^.]*", "/opt/*", "/etc/systemd/system/*.service.d"} {
		if seen := glob(t, m.HostPath(path)); len(seen) > 0 {
			t.Errorf("of the host the machine sees %q", seen)
		}
	}
	const canary = "/etc/moodle-exporter-canary"
	if err := m.WriteFile(t.Context(), canary, []byte("x\n"), 0o600, "root:root"); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = m.Must(t.Context(), "rm", canary) }()
	if _, err := os.Stat(canary); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the machine's %s is on the host (%v)", canary, err)
	}
	links, err := m.Must(t.Context(), "sh", "-c", "cd /sys/class/net && echo *")
	if err != nil {
		t.Fatal(err)
	}
	routes, err := m.ReadFile(t.Context(), "/proc/net/route")
	if err != nil || strings.Count(string(routes), "\n") > 1 {
		t.Errorf("the machine has a way out: links %s, routes %s (%v)", links, routes, err)
	}
	t.Setenv("SECRET_OF_THE_HOST", "x")
	if environment, err := m.Must(t.Context(), "env"); err != nil || strings.Contains(environment, "SECRET_OF_THE_HOST") {
		t.Errorf("the test's environment reaches the machine (%v)", err)
	}
}

func TestProgramsAndFilesOfTheMachine(t *testing.T) {
	m := machine(t)
	if err := m.WriteFile(t.Context(), "/srv/a/b", []byte("content\x00\n"), 0o640, "root:www-data"); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = m.Must(t.Context(), "rm", "-r", "/srv/a") }()
	if content, err := m.ReadFile(t.Context(), "/srv/a/b"); err != nil || string(content) != "content\x00\n" {
		t.Errorf("read back %q (%v)", content, err)
	}
	if _, err := m.ReadFile(t.Context(), "/srv/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading a missing file: %v, want fs.ErrNotExist", err)
	}
	for _, c := range []struct {
		user, script, stdout string
		exit                 int
	}{
		{"root", "echo $(id -un); exit 7", "root\n", 7},
		{"www-data", "id -un; cat /srv/a/b >/dev/null", "www-data\n", 0},
		{"nobody", "cat /srv/a/b 2>/dev/null", "", 1},
		{"root", "kill -9 $$", "", 137},
	} {
		got, err := m.RunAs(t.Context(), c.user, "sh", "-c", c.script)
		if err != nil || got.Stdout != c.stdout || got.ExitCode != c.exit {
			t.Errorf("%s: sh -c %q printed %q and ended with %d (%v), want %q and %d",
				c.user, c.script, got.Stdout, got.ExitCode, err, c.stdout, c.exit)
		}
	}
}

func TestDisksHaveTheirOwnSizeAndMode(t *testing.T) {
	m := machine(t)
	for _, disk := range disks {
		kind, err := m.Must(t.Context(), "stat", "--file-system", "--format=%T %b %S", disk.Path)
		if err != nil || !strings.HasPrefix(kind, "ext2/ext3 ") {
			t.Errorf("%s is %q (%v), want ext4", disk.Path, kind, err)
		}
		touched, err := m.Run(t.Context(), "touch", disk.Path+"/x")
		if err != nil || (touched.ExitCode != 0) != disk.ReadOnly {
			t.Errorf("writing to %s ended with %d (%v)", disk.Path, touched.ExitCode, err)
		}
		_, _ = m.Run(t.Context(), "rm", "-f", disk.Path+"/x")
	}
	if _, err := boot.Start(t.Context(), boot.Options{Disks: []boot.Disk{{Path: "/a b", Megabytes: 8}}}); err == nil {
		t.Error("a disk path with a space was taken")
	}
}
