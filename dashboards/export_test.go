package dashboards_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/dashboards"
)

func TestExport(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "grafana", "moodle")
	for range 2 { // a second export replaces what the first one wrote
		if err := dashboards.Export(dir); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(boards(t)) {
		t.Fatalf("written: %v %v", entries, err)
	}
	for _, entry := range entries {
		want, err := fs.ReadFile(dashboards.Files(), entry.Name())
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil || string(got) != string(want) {
			t.Errorf("%s was not written as shipped: %v", entry.Name(), err)
		}
	}
	foreign := filepath.Join(t.TempDir(), "moodle-site.json")
	if err := os.WriteFile(foreign, []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := dashboards.Export(filepath.Dir(foreign)); err == nil || !strings.Contains(err.Error(), "moodle-site.json") {
		t.Errorf("export over somebody else's file: %v", err)
	}
}
