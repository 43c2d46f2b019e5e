package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"
)

// A host on which nothing has run yet is no error.
func TestNoJobs(t *testing.T) {
	for args, want := range map[string]string{"jobs": "No job has run", "jobs --json": "["} {
		var stdout, stderr bytes.Buffer
		dir := "--state.dir=" + filepath.Join(t.TempDir(), "none")
		code := run(append([]string{dir}, strings.Fields(args)...), &stdout, &stderr)
		if code != 0 || !strings.Contains(stdout.String(), want) || stderr.Len() > 0 {
			t.Errorf("%s: exit %d, %q, %q", args, code, stdout.String(), stderr.String())
		}
	}
}
