package host

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// handWritten are records of jobs whose commands come later, and of one that announces how long it closes the site.
// The last is of this process, so that it counts as running.
var handWritten = map[string]string{
	"drill":  `{"format":1,"job":"drill","site":"lms","id":"20260101T030000Z","state":"ok","started":"2026-01-01T03:00:00Z","ended":"2026-01-01T03:02:05Z","last_success":"2026-01-01T03:02:05Z","runs":1}`,
	"copy":   `{"format":1,"job":"copy","site":"lms","id":"20260101T040000Z","state":"failed","started":"2026-01-01T04:00:00Z","ended":"2026-01-01T04:01:00Z","last_success":"2025-12-31T04:01:00Z","runs":2,"failures":1,"done_bytes":40,"total_bytes":100}`,
	"update": `{"format":1,"job":"update","site":"lms","id":"20260101T050000Z","state":"running","pid":%d,"pid_start":%s,"boot_id":"%s","started":"2026-01-01T05:00:00Z","planned_until":"2036-01-01T06:00:00Z","done_bytes":1,"total_bytes":4,"runs":1}`,
}

// Names whose writers come later are shown from records as they will be, with type and labels of the contract.
func TestHandWrittenRecords(t *testing.T) {
	t.Parallel()
	h := theHost(t)
	i := h.install(t, object{"backup": object{"dir": filepath.Join(stand.TempDir(t), "backups"), "offsite": object{
		"endpoint": "s3.example.org", "bucket": "backups", "access_key_file": "/nonexistent", "secret_key_file": "/nonexistent"}}})
	stat, err := os.ReadFile("/proc/self/stat")
	must(t, err)
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	must(t, err)
	start := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))[19]
	for job, record := range handWritten {
		if job == "update" {
			record = fmt.Sprintf(record, os.Getpid(), start, strings.TrimSpace(string(boot)))
		}
		path := filepath.Join(i.state, "jobs", "lms", job+".json")
		must(t, os.MkdirAll(filepath.Dir(path), 0o750), os.WriteFile(path, []byte(record), 0o640))
	}
	families := parse(t, i.serve(t).get(t, "/metrics"))
	promises := contract(t)
	for name, want := range map[string]float64{
		"restore_drill_last_success_timestamp_seconds": 1767236525, "restore_drill_last_result": 1,
		"restore_drill_last_duration_seconds": 125, "restore_drill_max_age_seconds": 35 * 86400,
		"backup_offsite_enabled": 1, "backup_offsite_last_success_timestamp_seconds": 1767153660, "backup_offsite_pending_bytes": 0,
		"maintenance_planned_until_timestamp_seconds": 2082780000, "job_progress_ratio": 0.25,
	} {
		family := families["moodle_"+name]
		if family == nil {
			t.Errorf("moodle_%s is missing", name)
			continue
		}
		promises[name].hold(t, family)
		if got := family.GetMetric()[0].GetGauge().GetValue(); got != want && name != "backup_offsite_enabled" {
			t.Errorf("moodle_%s is %v, want %v", name, got, want)
		}
	}
}
