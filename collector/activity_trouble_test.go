package collector

import (
	"context"
	"maps"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// TestActivityWithoutDatabase: no old number stays, and the next round tries again.
func TestActivityWithoutDatabase(t *testing.T) {
	_, sites := theFleet(t)
	a, now := activityCollector(t, sites[:1])
	_, err := refreshed(t, a)
	must(t, err)
	read := *now
	*now = now.Add(filesCadence)
	socket := sites[0].Config.DBSocket
	sites[0].Config.DBSocket = filepath.Join(t.TempDir(), "none.sock")
	a.Refresh(t.Context())
	a.files.refresher.Refresh(t.Context())
	got, err := seriesOf(t, a)
	want := map[string]float64{
		"site_release_support_end_timestamp_seconds{lms}":      1822608000,
		"refresh_last_success_timestamp_seconds{lms,activity}": float64(read.Unix()),
		"refresh_last_success_timestamp_seconds{lms,files}":    float64(read.Unix()),
	}
	if err == nil || !maps.Equal(got, want) {
		t.Errorf("without a database: %v (%v), want %v", got, err, want)
	}
	sites[0].Config.DBSocket = socket
	a.Refresh(t.Context())
	if got, _ := seriesOf(t, a); got["users{lms,active}"] == 0 {
		t.Error("not read again although the last round failed")
	}
}

// TestActivityShowsNothingOld: when the reading itself stops, its numbers go.
func TestActivityShowsNothingOld(t *testing.T) {
	_, sites := theFleet(t)
	a, now := activityCollector(t, sites[:1])
	_, err := refreshed(t, a)
	must(t, err)
	*now = now.Add(3 * activityCadence)
	got, err := seriesOf(t, a)
	if _, there := got["users{lms,active}"]; there || err == nil {
		t.Errorf("users there: %v, error %v", there, err)
	}
	if _, there := got["files{lms}"]; !there {
		t.Error("the files, which are read every six hours, are gone")
	}
}

// TestActivityIsReadWhenDue: a good result lasts for its cadence.
func TestActivityIsReadWhenDue(t *testing.T) {
	server, sites := theFleet(t)
	keep(t, "user")
	a, now := activityCollector(t, sites[:1])
	before, err := refreshed(t, a)
	must(t, err)
	must(t, server.Exec(t.Context(), inTables(sites[0], "UPDATE {user} SET suspended=1 WHERE id=2")))
	for _, step := range []struct {
		later time.Duration
		want  float64
	}{{4 * time.Minute, 0}, {45 * time.Second, 1}} {
		*now = now.Add(step.later)
		a.Refresh(t.Context())
		got, err := seriesOf(t, a)
		must(t, err)
		if more := got["users{lms,suspended}"] - before["users{lms,suspended}"]; more != step.want {
			t.Errorf("after %s: %v more, want %v", step.later, more, step.want)
		}
	}
}

// TestActivityOfOtherDatabases: a site on PostgreSQL fails nothing.
func TestActivityOfOtherDatabases(t *testing.T) {
	site := &moodle.Site{Name: "pg", Config: moodle.PHPConfig{DBType: "pgsql"}, Version: moodle.Version{Branch: "501"}}
	a, _ := activityCollector(t, []*moodle.Site{site})
	got, err := refreshed(t, a)
	must(t, err)
	if want := map[string]float64{"site_release_support_end_timestamp_seconds{pg}": 1808092800}; !maps.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

// A table that the account may not read, or that is not there, costs its own series.
func TestActivityWithPartsThatFail(t *testing.T) {
	server, sites := theFleet(t)
	table := "`" + schema45 + "`.m45_"
	must(t, server.Exec(t.Context(), "RENAME TABLE "+table+"user TO "+table+"user_gone, "+table+"quiz_attempts TO "+table+"quiz_gone, "+table+"task_log TO "+table+"task_gone"))
	t.Cleanup(func() {
		must(t, server.Exec(context.WithoutCancel(t.Context()),
			"RENAME TABLE "+table+"user_gone TO "+table+"user, "+table+"quiz_gone TO "+table+"quiz_attempts, "+table+"task_gone TO "+table+"task_log"))
	})
	a, _ := activityCollector(t, sites)
	got, err := refreshed(t, a)
	for _, what := range []string{"read users of site lms", "read the ends of the logs of site lms"} {
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("the error is %v, want %q in it", err, what)
		}
	}
	if err != nil && strings.Contains(err.Error(), "quiz") {
		t.Errorf("a site without the quiz fails: %v", err)
	}
	for series, want := range map[string]bool{
		"users{lms,active}": false, "quiz_attempts_in_progress{lms}": false, "task_runs_total{adhoc,lms}": false,
		"logins_total{lms}": true, "courses{lms,true}": true, "sessions{lms}": true, "users{campus,active}": true,
		"refresh_last_success_timestamp_seconds{lms,activity}": false, "refresh_last_success_timestamp_seconds{campus,activity}": true,
	} {
		if _, there := got[series]; there != want {
			t.Errorf("%s there: %v", series, there)
		}
	}
}
