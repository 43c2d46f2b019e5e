package collector

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writeRecord puts a record in its place, as the job that ends at a crash would have left it.
func writeRecord(t *testing.T, stateDir, site, name, content string) {
	t.Helper()
	dir := filepath.Join(stateDir, "jobs", site)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".json"), []byte(content), 0o640); err != nil {
		t.Fatal(err)
	}
}

// thisProcess is what a record says about the process that runs this test.
func thisProcess(t *testing.T) string {
	t.Helper()
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	after := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	return fmt.Sprintf(`"pid":%d,"pid_start":%s,"boot_id":%q`, os.Getpid(), after[19], strings.TrimSpace(string(boot)))
}

func TestJob(t *testing.T) {
	now := time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC)
	const gone = `"pid":4194303,"pid_start":1,"boot_id":"x"`
	alive := thisProcess(t)
	record := func(site, name, rest string) string {
		return fmt.Sprintf(`{"format":1,"job":%q,"site":%q,%s}`, name, site, rest)
	}
	ended := map[string]float64{
		"job_running{backup,lms}": 0, "job_last_result{backup,lms}": 1, "job_runs_total{backup,lms}": 9, "job_failures_total{backup,lms}": 2,
		"job_last_start_timestamp_seconds{backup,lms}": 1795312800, "job_last_end_timestamp_seconds{backup,lms}": 1795313430.5,
		"job_last_duration_seconds{backup,lms}": 630.5, "job_last_success_timestamp_seconds{backup,lms}": 1795313430.5,
		"job_step_duration_seconds{backup,lms,dump}": 60, "job_step_duration_seconds{backup,lms,pool}": 570,
	}
	tests := map[string]struct {
		site, name, content string
		want                map[string]float64
		fails               string
	}{
		"ended well": {"lms", "backup", record("lms", "backup", gone+`,"state":"ok","started":"2026-11-22T02:00:00Z","ended":"2026-11-22T02:10:30.5Z",
			"last_success":"2026-11-22T02:10:30.5Z","runs":9,"failures":2,"done_bytes":5,"total_bytes":5,"steps":[
			{"name":"pool","started":"2026-11-22T02:00:00Z","ended":"2026-11-22T02:09:00Z"},{"name":"dump","started":"2026-11-22T02:09:00Z","ended":"2026-11-22T02:10:00Z"},
			{"name":"pool","started":"2026-11-22T02:10:00Z","ended":"2026-11-22T02:10:30Z"}]`), ended, ""},
		"failed, with an earlier success": {"lms", "backup", record("lms", "backup", gone+`,"state":"failed","started":"2026-11-22T02:00:00Z","ended":"2026-11-22T02:00:10Z",
			"last_success":"2026-11-15T02:00:00Z","runs":2,"failures":1`), map[string]float64{
			"job_running{backup,lms}": 0, "job_last_result{backup,lms}": 0, "job_runs_total{backup,lms}": 2, "job_failures_total{backup,lms}": 1,
			"job_last_start_timestamp_seconds{backup,lms}": 1795312800, "job_last_end_timestamp_seconds{backup,lms}": 1795312810,
			"job_last_duration_seconds{backup,lms}": 10, "job_last_success_timestamp_seconds{backup,lms}": 1794708000}, ""},
		"running": {"lms", "update", record("lms", "update", alive+`,"state":"running","started":"2026-11-22T03:59:00Z","runs":1,"failures":0,
			"done_bytes":25,"total_bytes":100,"planned_until":"2026-11-22T04:30:00Z","steps":[{"name":"dump","started":"2026-11-22T03:59:00Z"}]`), map[string]float64{
			"job_running{update,lms}": 1, "job_progress_ratio{update,lms}": 0.25, "job_runs_total{update,lms}": 1, "job_failures_total{update,lms}": 0,
			"job_last_start_timestamp_seconds{update,lms}": 1795319940, "maintenance_planned_until_timestamp_seconds{lms}": 1795321800}, ""},
		"process gone": {"lms", "update", record("lms", "update", gone+`,"state":"running","started":"2026-11-22T03:59:00Z","runs":1,"failures":0,
			"done_bytes":25,"total_bytes":100,"planned_until":"2026-11-22T04:30:00Z"`), map[string]float64{
			"job_running{update,lms}": 0, "job_last_result{update,lms}": 0, "job_runs_total{update,lms}": 1, "job_failures_total{update,lms}": 1,
			"job_last_start_timestamp_seconds{update,lms}": 1795319940}, ""},
		"of the host": {"_host", "maintain", record("_host", "maintain", gone+`,"state":"partial","started":"2026-11-22T02:00:00Z","runs":1,"failures":0`), map[string]float64{
			"job_running{maintain,}": 0, "job_last_result{maintain,}": 1, "job_runs_total{maintain,}": 1, "job_failures_total{maintain,}": 0,
			"job_last_start_timestamp_seconds{maintain,}": 1795312800}, ""},
		"from the future": {"lms", "backup", record("lms", "backup", gone+`,"state":"ok","started":"2026-11-22T02:00:00Z","ended":"2031-01-01T00:00:00Z",
			"last_success":"2031-01-01T00:00:00Z","runs":1,"failures":0`), map[string]float64{
			"job_running{backup,lms}": 0, "job_last_result{backup,lms}": 1, "job_runs_total{backup,lms}": 1, "job_failures_total{backup,lms}": 0,
			"job_last_start_timestamp_seconds{backup,lms}": 1795312800}, "future"},
		"half written": {"lms", "backup", `{"format":1,"job":"backup","site":"l`, nil, "backup.json"},
		"never started": {"lms", "backup", record("lms", "backup", gone+`,"state":"failed","started":"0001-01-01T00:00:00Z","runs":0,"failures":0`), map[string]float64{
			"job_running{backup,lms}": 0, "job_last_result{backup,lms}": 0, "job_runs_total{backup,lms}": 0, "job_failures_total{backup,lms}": 0}, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			stateDir := t.TempDir()
			// A good record of another site is always there, and always shown.
			writeRecord(t, stateDir, "campus", "prune", record("campus", "prune", gone+`,"state":"ok","started":"2026-11-22T02:00:00Z","runs":1,"failures":0`))
			writeRecord(t, stateDir, test.site, test.name, test.content)
			c := NewJob(stateDir, "/proc", func() time.Time { return now })
			page, err := once(t, c)
			lint(t, page)
			if (err == nil) != (test.fails == "") || err != nil && !strings.Contains(err.Error(), test.fails) {
				t.Errorf("error %v, want it to say %q", err, test.fails)
			}
			families, _ := page.Gather()
			want := map[string]float64{"job_running{prune,campus}": 0, "job_last_result{prune,campus}": 1, "job_runs_total{prune,campus}": 1,
				"job_failures_total{prune,campus}": 0, "job_last_start_timestamp_seconds{prune,campus}": 1795312800}
			maps.Copy(want, test.want)
			if got := values(families); !maps.Equal(got, want) {
				t.Errorf("unlike what is wanted: %v", difference(want, got))
			}
		})
	}
}

func TestJobBeforeTheFirst(t *testing.T) {
	got, err := seriesOf(t, NewJob(t.TempDir(), "/proc", time.Now))
	if err != nil || len(got) > 0 {
		t.Errorf("before the first job: %v (%v)", got, err)
	}
}
