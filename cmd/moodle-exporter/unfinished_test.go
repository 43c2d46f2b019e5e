package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/backup"
)

// TestNothingBeginsOnAHalfDoneSite refuses, with exit code 12, what would take a half done site for a whole one.
func TestNothingBeginsOnAHalfDoneSite(t *testing.T) {
	for _, c := range []struct {
		name, path, content string
		backup, restore     bool // are refused
	}{
		{"nothing", "jobs/lms/backup.json", "{}", false, false},
		{"an update beside the site", "update/lms/20260301T040000Z.json", `{"format":1,"site":"lms","phase":"staging"}`, false, false},
		{"an update in the middle", "update/lms/20260301T040000Z.json", `{"format":1,"site":"lms","phase":"upgrading"}`, true, true},
		{"one of another site", "update/other/20260301T040000Z.json", `{"format":1,"site":"other","phase":"upgrading"}`, false, false},
		{"a restore beside the site", "restore/lms/20260301T040000Z.json", `{"format":1,"site":"lms","phase":"staging"}`, false, false},
		{"a restore half exchanged", "restore/lms/20260301T040000Z.json", `{"format":1,"site":"lms","phase":"switching"}`, true, false},
		{"a restore just opened", "restore/lms/20260301T040000Z.json", `{"format":1,"site":"lms","phase":"visiting"}`, true, false},
		{"a restore that keeps the old site", "restore/lms/20260301T040000Z.json", `{"format":1,"site":"lms","phase":"open"}`, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := &environment{stateDir: t.TempDir()}
			path := filepath.Join(e.stateDir, c.path)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(c.content), 0o600)); err != nil {
				t.Fatal(err)
			}
			for _, one := range []struct {
				err  error
				want bool
			}{{e.refuseUnfinishedRestore("lms"), c.backup}, {e.refuseUnfinishedUpdate("lms"), c.restore}} {
				what, want := one.err, one.want
				var refusal *backup.RefusedError
				if errors.As(what, &refusal) != want || !want && what != nil || want && codeOf(what) != exitRefused {
					t.Errorf("%v, want refused %v", what, want)
				}
			}
		})
	}
}
