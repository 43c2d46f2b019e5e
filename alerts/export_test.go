package alerts_test

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/alerts"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

func export(t *testing.T, dir string) {
	t.Helper()
	if err := alerts.Export(dir); err != nil {
		t.Fatal(err)
	}
}

func TestExportWritesEverything(t *testing.T) {
	stand.Need(t, stand.Prometheus, stand.Alertmanager)
	dir := filepath.Join(t.TempDir(), "prometheus", "moodle")
	export(t, dir)
	err := fs.WalkDir(alerts.Files(), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		want, err := fs.ReadFile(alerts.Files(), path)
		if err != nil {
			return err
		}
		if !bytes.Contains(want, []byte("moodle-exporter")) {
			t.Errorf("%s does not say whose it is, so a later export would refuse to replace it", path)
		}
		written, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			return err
		}
		if !bytes.Equal(written, want) {
			t.Errorf("%s was not written as shipped", path)
		}
		info, err := os.Stat(filepath.Join(dir, path))
		if err != nil {
			return err
		}
		if info.Mode().Perm() != 0o644 {
			t.Errorf("%s has mode %v; Prometheus runs under another account", path, info.Mode())
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if out, ok := runTool(t, dir, "amtool", "check-config", "alertmanager.yml"); !ok {
		t.Errorf("the exported alertmanager.yml does not stand alone: %s", out)
	}
	names, err := filepath.Glob(filepath.Join(dir, "*", ".export-*"))
	if err != nil || len(names) > 0 {
		t.Errorf("left behind: %v %v", names, err)
	}
}

func TestExportAgain(t *testing.T) {
	dir := t.TempDir()
	export(t, dir)
	edit := func(name, old, replacement string) {
		t.Helper()
		path := filepath.Join(dir, name)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, bytes.ReplaceAll(content, []byte(old), []byte(replacement)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	edit("alertmanager.yml", "root@localhost", "admin@example.org")
	edit("rules/disk.yml", "for: 15m", "for: 1m")
	export(t, dir)

	read := func(name string) string {
		t.Helper()
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	if !strings.Contains(read("alertmanager.yml"), "admin@example.org") {
		t.Error("the edited alertmanager.yml was replaced")
	}
	if !strings.Contains(read("alertmanager.yml.dist"), "root@localhost") {
		t.Error("the shipped alertmanager.yml was not written beside the edited one")
	}
	if !strings.Contains(read("rules/disk.yml"), "for: 15m") {
		t.Error("a rule file of an earlier export was not replaced")
	}
}

func TestExportRefusesForeignFiles(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "rules"), 0o700); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(dir, "rules", "disk.yml")
	if err := os.WriteFile(foreign, []byte("groups: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := alerts.Export(dir)
	if err == nil || !strings.Contains(err.Error(), "rules/disk.yml") {
		t.Errorf("Export over a foreign file: %v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("something was written all the same: %v %v", entries, err)
	}
}
