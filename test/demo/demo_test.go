package main

import (
	"context"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// TestOnce goes through the whole demo with the binary that make test built, else with one built here.
func TestOnce(t *testing.T) {
	stand.Need(t, stand.MariaDB, stand.PHP, stand.PHPFPM, stand.Nginx, stand.Redis, stand.Prometheus, stand.Alertmanager)
	binary, err := stand.ExporterBinary(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	if err := run(ctx, binary, true); err != nil {
		t.Error(err)
	}
}
