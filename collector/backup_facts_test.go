package collector

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/probe"
)

func writeFacts(t *testing.T, stateDir string, taken time.Time, sites map[string]string) {
	t.Helper()
	dir := filepath.Join(stateDir, "facts")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	stamp := taken.Format(time.RFC3339)
	names := make([]string, 0, len(sites))
	files := make(map[string]string)
	for name, rest := range sites {
		names = append(names, fmt.Sprintf("%q", name))
		files[name] = fmt.Sprintf(`{"format":1,"taken":%q,"name":%q,%s}`, stamp, name, rest)
	}
	files[config.HostName] = fmt.Sprintf(`{"format":1,"taken":%q,"sites":[%s]}`, stamp, strings.Join(names, ","))
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name+".json"), []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBackupFacts(t *testing.T) {
	now := time.Unix(1795320000, 0)
	stateDir := t.TempDir()
	writeFacts(t, stateDir, now.Add(-time.Minute), map[string]string{
		"lms": `"primary":true,"config":{"dbtype":"mariadb"},"backup":{"backups":2,"stored_bytes":500,"same_filesystem":true,"missing":1,"accepted":1,"damaged":0,
			"baseline_seconds":12.5,"components":{"all":{"last_success":1795316400,"size":100,"written":10,"baseline":90}}}`,
		"new":    `"primary":true,"config":{"dbtype":"mariadb"}`,
		"second": `"primary":false,"config":{"dbtype":"mariadb"}`,
		"other":  `"primary":true,"config":{"dbtype":"pgsql"}`,
	})
	writeRecord(t, stateDir, "lms", "verify", `{"format":1,"job":"verify","site":"lms","state":"failed","started":"2026-11-22T02:00:00Z",
		"ended":"2026-11-22T02:10:00Z","last_success":"2026-11-15T02:00:00Z","runs":2,"failures":1}`)
	settings := config.Backup{MaxAge: config.MaxAge{All: config.Duration(8 * 24 * time.Hour), Each: map[string]config.Duration{"database": config.Duration(26 * time.Hour)}}}
	facts := &BackupFacts{
		View: probe.NewView(stateDir, func() time.Time { return now }, nil), Settings: func() config.Backup { return settings },
		StateDir: stateDir, ProcRoot: "/proc", Clock: func() time.Time { return now },
	}
	c := NewBackup(facts.Read, facts.Clock)
	got, err := seriesOf(t, c)
	if err != nil {
		t.Fatal(err)
	}
	wantValues(t, got, map[string]float64{
		"backup_enabled{lms}": 1, "backup_enabled{new}": 1, "backup_enabled{second}": 0, "backup_enabled{other}": 0, "backups{lms}": 2, "backups{new}": 0,
		"backup_last_success_timestamp_seconds{all,lms}": 1795316400, "backup_age_seconds{all,lms}": 3600, "backup_max_age_seconds{all,lms}": 691200,
		"backup_last_size_bytes{all,lms}": 100, "backup_last_written_bytes{all,lms}": 10, "backup_baseline_size_bytes{all,lms}": 90,
		"backup_max_age_seconds{database,lms}": 93600, "backup_max_age_seconds{database,new}": 93600, "backup_baseline_duration_seconds{lms}": 12.5,
		"backup_stored_bytes{lms}": 500, "backup_same_filesystem{lms}": 1, "backup_missing_files{lms}": 1, "backup_missing_files_accepted{lms}": 1,
		"backup_last_verify_result{lms}": 0, "backup_last_verify_success_timestamp_seconds{lms}": 1794708000, "backup_offsite_enabled{lms}": 0,
	})
	for _, absent := range []string{"backup_last_success_timestamp_seconds{all,new}", "backup_missing_files{new}", "backup_same_filesystem{new}", "restore_drill_last_result{lms}"} {
		if value, there := got[absent]; there {
			t.Errorf("%s is %v before the first run", absent, value)
		}
	}
	now = now.Add(probe.Stale)
	if got, err = seriesOf(t, c); err == nil || got["backup_age_seconds{all,lms}"] != 3600+probe.Stale.Seconds() {
		t.Errorf("with stale facts: %v, %v", got["backup_age_seconds{all,lms}"], err)
	}
}
