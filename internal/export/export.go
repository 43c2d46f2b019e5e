// Package export writes files that come with the program into a directory, for other programs to read.
package export

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

const (
	// distSuffix marks the shipped version beside an edited one.
	distSuffix = ".dist"
	// owner stands in every file of ours; a file without it is somebody else's.
	owner = "moodle-exporter"
)

// Write writes all files into dir, which is made if it is missing. Files of an earlier export are replaced, but for
// those named as edited, which their reader is asked to change: one that is not the shipped one stays, and the shipped
// one is written beside it with the ending .dist. Any other file in the way that this program did not write makes it
// refuse before anything is written.
func Write(files fs.FS, dir string, edited ...string) error {
	plan, err := planFor(files, dir, edited)
	if err != nil {
		return fmt.Errorf("export to %s: %w", dir, err)
	}
	for _, f := range plan {
		if err := writeFile(filepath.Join(dir, f.target), f.content); err != nil {
			return fmt.Errorf("export to %s: %w", dir, err)
		}
	}
	return nil
}

// plannedFile is a file to be written, its target relative to the export directory.
type plannedFile struct {
	target  string
	content []byte
}

// planFor lists what has to be written, or says which foreign files are in the way.
func planFor(files fs.FS, dir string, edited []string) ([]plannedFile, error) {
	var plan []plannedFile
	var foreign []error
	err := fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		target := filepath.FromSlash(path)
		present, err := os.ReadFile(filepath.Join(dir, target)) //nolint:gosec // the directory is the caller's choice
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		case bytes.Equal(present, content):
			return nil
		case slices.Contains(edited, path):
			target += distSuffix
		case !bytes.Contains(present, []byte(owner)):
			foreign = append(foreign, fmt.Errorf("%s exists and was not written by %s; export into another directory", target, owner))
			return nil
		}
		plan = append(plan, plannedFile{target, content})
		return nil
	})
	return plan, errors.Join(err, errors.Join(foreign...))
}

// writeFile replaces path in one step, so that a program that reads it meanwhile sees the old file or the new one. The
// files hold no secrets and are read by other accounts.
func writeFile(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // read by Prometheus, Alertmanager and Grafana
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".export-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // gone already after the rename
	_, err = tmp.Write(content)
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Close())
	if err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
