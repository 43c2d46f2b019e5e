package collector

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestBackup(t *testing.T) {
	now := time.Unix(1795320000, 0)
	yes, no, some, none := true, false, int64(3), int64(0)
	full := BackupState{
		Site: "lms", Enabled: true, Backups: 4, StoredBytes: 9000, SameFilesystem: &yes, BaselineDuration: 90 * time.Second,
		MissingFiles: &some, AcceptedMissing: 2, DamagedFiles: &none,
		Components: []BackupComponent{
			{Name: "database", MaxAge: 26 * time.Hour, LastSuccess: now.Add(-time.Hour), SizeBytes: 100, WrittenBytes: 10, BaselineBytes: 99},
			{Name: "files", MaxAge: 8 * 24 * time.Hour},
		},
		Verify:  Rehearsal{LastSuccess: now.Add(-2 * time.Hour), LastResult: &no, MaxAge: 8 * 24 * time.Hour},
		Offsite: Offsite{Enabled: true, LastSuccess: now.Add(-3 * time.Hour), PendingBytes: &none},
	}
	read := func(context.Context) ([]BackupState, error) { return []BackupState{full, {Site: "new"}}, nil }
	c := NewBackup(read, func() time.Time { return now })
	page, err := once(t, c)
	if err != nil {
		t.Fatal(err)
	}
	lint(t, page)
	families, _ := page.Gather()
	want := map[string]float64{
		"backup_enabled{lms}": 1, "backups{lms}": 4, "backup_stored_bytes{lms}": 9000, "backup_same_filesystem{lms}": 1, "backup_baseline_duration_seconds{lms}": 90,
		"backup_missing_files{lms}": 3, "backup_missing_files_accepted{lms}": 2, "backup_damaged_files{lms}": 0,
		"backup_last_success_timestamp_seconds{database,lms}": 1795316400, "backup_age_seconds{database,lms}": 3600, "backup_max_age_seconds{database,lms}": 93600,
		"backup_last_size_bytes{database,lms}": 100, "backup_last_written_bytes{database,lms}": 10, "backup_baseline_size_bytes{database,lms}": 99,
		"backup_max_age_seconds{files,lms}":                 691200,
		"backup_last_verify_success_timestamp_seconds{lms}": 1795312800, "backup_last_verify_result{lms}": 0, "backup_verify_max_age_seconds{lms}": 691200,
		"backup_offsite_enabled{lms}": 1, "backup_offsite_last_success_timestamp_seconds{lms}": 1795309200, "backup_offsite_pending_bytes{lms}": 0,
		// A site that has never been backed up has no ages, sizes and results.
		"backup_enabled{new}": 0, "backups{new}": 0, "backup_stored_bytes{new}": 0, "backup_missing_files_accepted{new}": 0, "backup_offsite_enabled{new}": 0,
	}
	for name, change := range difference(want, values(families)) {
		t.Errorf("%s: %s", name, change)
	}
}

func TestBackupUnreadable(t *testing.T) {
	broken := errors.New("no inventory of campus")
	c := NewBackup(func(context.Context) ([]BackupState, error) {
		return []BackupState{{Site: "lms", Enabled: true}}, broken
	}, time.Now)
	got, err := seriesOf(t, c)
	if !errors.Is(err, broken) || got["backup_enabled{lms}"] != 1 {
		t.Errorf("%v (%v), want the readable part and the error", got, err)
	}
}

func TestThreshold(t *testing.T) {
	wantText(t, NewThreshold(func() map[string]float64 { return map[string]float64{"cpu_busy_ratio": 0.9, "cert_warning_days": 30} }), `
# HELP moodle_threshold Limit from the configuration that the alert rules compare with.
# TYPE moodle_threshold gauge
moodle_threshold{name="cert_warning_days"} 30
moodle_threshold{name="cpu_busy_ratio"} 0.9
`)
}
