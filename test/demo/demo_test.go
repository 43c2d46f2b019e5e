package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// TestOnce goes through the whole demo with the binary that make test built, else with one built here.
func TestOnce(t *testing.T) {
	stand.Need(t, stand.MariaDB, stand.PHP, stand.PHPFPM, stand.Nginx, stand.Redis, stand.Prometheus, stand.Alertmanager)
	binary := os.Getenv("MOODLE_EXPORTER_BINARY")
	if binary == "" {
		binary = filepath.Join(t.TempDir(), "moodle-exporter")
		build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../cmd/moodle-exporter")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("build the exporter: %v\n%s", err, out)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := run(ctx, binary, true); err != nil {
		t.Error(err)
	}
}
