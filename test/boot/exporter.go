package boot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// What the package enables. Timers first: the probe's facts are there soon after.
var enabled = []string{"moodle-exporter-probe.timer", "moodle-exporter-backup.timer", "moodle-exporter-verify.timer", "moodle-exporter-drill.timer", "moodle-exporter-maintain.timer", "moodle-exporter.service"}

// Enabled are the units that the package enables and starts.
func Enabled() []string { return slices.Clone(enabled) }

// MetricsURL is where the exporter listens in the machine.
const MetricsURL = "http://127.0.0.1:10059/metrics"

// places are where the package puts the files of each folder of packaging/.
var places = []struct{ from, to string }{
	{"systemd", "/usr/lib/systemd/system"},
	{"sysusers.d", "/usr/lib/sysusers.d"},
	{"tmpfiles.d", "/usr/lib/tmpfiles.d"},
	{"cron.d", "/etc/cron.d"},
}

// BuildExporter builds the exporter as it is released, without cgo, and returns its path in dir.
func BuildExporter(ctx context.Context, dir string) (string, error) {
	root, err := repository()
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "moodle-exporter")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/moodle-exporter")
	build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the exporter: %w: %s", err, out)
	}
	return binary, nil
}

// InstallExporter does what installing the package does: the binary and the files of packaging/
// to their places, account and directories made, timers and service enabled and started.
func (m *Machine) InstallExporter(ctx context.Context, binary string) error {
	if err := m.CopyIn(ctx, binary, "/usr/bin/moodle-exporter", 0o755, "root:root"); err != nil {
		return err
	}
	files, err := packagedFiles()
	if err != nil {
		return err
	}
	for file, path := range files {
		if err := m.CopyIn(ctx, file, path, 0o644, "root:root"); err != nil {
			return err
		}
	}
	for _, command := range [][]string{
		{"systemd-sysusers", "moodle-exporter.conf"},
		{"systemd-tmpfiles", "--create", "moodle-exporter.conf"},
		{"systemctl", "daemon-reload"},
		append([]string{"systemctl", "enable", "--now", "--quiet"}, enabled...),
	} {
		if _, err := m.Must(ctx, command...); err != nil {
			return fmt.Errorf("install the exporter: %w", err)
		}
	}
	return nil
}

// RemoveExporter does what removing the package does (not purging it): units stopped, files gone;
// account, configuration, state and backups stay.
func (m *Machine) RemoveExporter(ctx context.Context) error {
	files, err := packagedFiles()
	if err != nil {
		return err
	}
	remove := []string{"rm", "-f", "/usr/bin/moodle-exporter"}
	for _, path := range files {
		remove = append(remove, path)
	}
	for _, command := range [][]string{
		append([]string{"systemctl", "disable", "--now", "--quiet"}, enabled...),
		remove,
		{"systemctl", "daemon-reload"},
	} {
		if _, err := m.Must(ctx, command...); err != nil {
			return fmt.Errorf("remove the exporter: %w", err)
		}
	}
	return nil
}

// ApplyGrants gives the exporter its database account: it pipes what "config grants" prints to
// the mariadb client, as an administrator does.
func (m *Machine) ApplyGrants(ctx context.Context) error {
	statements, err := m.Must(ctx, "moodle-exporter", "config", "grants")
	if err != nil {
		return err
	}
	_, err = m.must(ctx, strings.NewReader(statements), "mariadb")
	return err
}

// packagedFiles maps each file of packaging/ to its place in the machine.
func packagedFiles() (map[string]string, error) {
	root, err := repository()
	if err != nil {
		return nil, err
	}
	files := map[string]string{}
	for _, place := range places {
		found, err := filepath.Glob(filepath.Join(root, "packaging", place.from, "*"))
		if err != nil || len(found) == 0 {
			return nil, fmt.Errorf("packaging/%s is empty (%w)", place.from, err)
		}
		for _, file := range found {
			files[file] = filepath.Join(place.to, filepath.Base(file))
		}
	}
	return files, nil
}

// repository is the directory of go.mod: tests run in that of their package.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the repository: %w", err)
	}
	for ; dir != "/"; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("find the repository: no go.mod in this directory or above")
}
