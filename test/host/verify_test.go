package host

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// TestVerifyCommand: the commands on backups end with the right codes, say the right names, and the exporter shows it.
func TestVerifyCommand(t *testing.T) {
	t.Parallel()
	h := theHost(t)
	i := h.install(t, nil)
	expect := func(code int, says string, args ...string) {
		t.Helper()
		if o := i.run(t, args...); o.code != code || !strings.Contains(o.stdout+o.stderr, says) {
			t.Errorf("%q ended with %d, want %d and %q: %s%s", args, o.code, code, says, o.stdout, o.stderr)
		}
	}
	expect(0, "no backup yet", "backup", "verify")
	expect(10, "no such backup", "backup", "verify", "latest", "--site=lms")
	i.mustRun(t, "backup", "--site=lms")
	i.mustRun(t, "probe")
	e := i.serve(t)
	before := e.scrape(t, "/metrics")
	e.stop(t)
	for _, name := range []string{"moodle_backup_damaged_files", "moodle_backup_last_verify_result", "moodle_backup_last_verify_success_timestamp_seconds"} {
		if before[name] != nil {
			t.Errorf("%s is there before the first verification", name)
		}
	}
	shows := func(damaged, intact float64) {
		t.Helper()
		e := i.serve(t) // one that looks anew
		p := e.scrape(t, "/metrics")
		e.stop(t)
		p.want(t, damaged, "backup_damaged_files", "site", "lms")
		p.want(t, intact, "backup_last_verify_result", "site", "lms")
		p.want(t, intact, "job_last_result", "site", "lms", "name", "verify")
		p.near(t, float64(time.Now().Unix()), 300, "backup_last_verify_success_timestamp_seconds", "site", "lms")
	}
	expect(0, "", "backup", "verify", "--read-data")
	shows(0, 1)
	expect(0, "", "backup", "verify", "latest", "--site=lms")
	expect(10, "no such backup", "backup", "verify", "20010101T000000Z")
	expect(10, "no such backup", "backup", "prune", "--site=nobody")

	blobs, err := filepath.Glob(filepath.Join(i.backups, "lms", "pool", "filedir", "*", "*", "*"))
	if err != nil || len(blobs) == 0 {
		t.Fatal(blobs, err)
	}
	content, err := os.ReadFile(blobs[0])
	must(t, err)
	must(t, os.WriteFile(blobs[0], append(content, 'x'), 0o600))
	expect(1, filepath.Base(blobs[0]), "backup", "verify")
	shows(1, 0)
	expect(1, "missing", "backup", "verify", "latest")
	expect(0, "content files are damaged", "backup", "list")
	i.mustRun(t, "backup", "--site=lms")
	expect(0, "", "backup", "verify", "--read-data")
	shows(0, 1)
	expect(0, "good, verified", "backup", "list")

	plan := strings.Fields(strings.ReplaceAll(i.mustRun(t, "backup", "prune", "--dry-run"), "would be ", ""))
	if done := i.mustRun(t, "backup", "prune"); !slices.Equal(strings.Fields(done), plan) || strings.Count(done, "the newest verified backup") != 1 {
		t.Errorf("planned %s, did %s", plan, done)
	}
	manifests, err := filepath.Glob(filepath.Join(i.backups, "lms", "*", "manifest.json"))
	must(t, err)
	must(t, os.WriteFile(manifests[0], []byte("{}"), 0o600))
	expect(12, filepath.Base(filepath.Dir(manifests[0])), "backup", "prune")
	expect(1, "manifest.json", "backup", "verify")
}

// TestAcceptMissingCommand: it says what it means, and does nothing unless somebody says yes.
func TestAcceptMissingCommand(t *testing.T) {
	t.Parallel()
	stand.NeedFixtures(t) // their sites have lost files
	h := theHost(t)
	i := h.install(t, nil)
	i.run(t, "backup", "--site=campus")
	for _, step := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"backup", "accept-missing", "--site=campus"}, 12, "Users cannot open them"},
		{[]string{"backup", "--site=campus"}, 3, "accept-missing"},
		{[]string{"backup", "accept-missing", "--site=campus", "--yes"}, 0, "are accepted"},
		{[]string{"backup", "--site=campus"}, 0, ""},
		{[]string{"backup", "accept-missing", "--site=campus"}, 0, "nothing to accept"},
	} {
		if o := i.run(t, step.args...); o.code != step.code || !strings.Contains(o.stdout+o.stderr, step.says) {
			t.Errorf("%q ended with %d, want %d and %q: %s%s", step.args, o.code, step.code, step.says, o.stdout, o.stderr)
		}
	}
}
