package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// The committed files are what the program makes: nobody has edited one by hand, and none was forgotten.
func TestFilesAreGenerated(t *testing.T) {
	files, err := render()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join("..", name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what this program makes (%v): run go generate ./dashboards", name, err)
		}
	}
	committed, err := filepath.Glob(filepath.Join("..", "*.json"))
	if err != nil || len(committed) != len(files) {
		t.Errorf("%q are there, %d dashboards are made (%v)", committed, len(files), err)
	}
}

func TestRunWritesTheFiles(t *testing.T) {
	dir := t.TempDir()
	if err := run([]string{dir}); err != nil {
		t.Fatal(err)
	}
	if written, err := filepath.Glob(filepath.Join(dir, "*.json")); err != nil || len(written) == 0 {
		t.Errorf("written: %q %v", written, err)
	}
	if err := run(nil); err == nil {
		t.Error("without a directory there is no error")
	}
}
