package collector

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/internal/redis"
)

func noPlugins(*moodle.Site) (moodle.DiskPlugins, bool) { return moodle.DiskPlugins{}, false }

// activityCollector reads sites shortly after the dump; its clock can be moved.
func activityCollector(t *testing.T, sites []*moodle.Site) (a *Activity, now *time.Time) {
	t.Helper()
	moment := afterDump
	a = NewActivity(ActivitySources{
		Sites: sitesOf(sites), Connections: connect(t), Clock: func() time.Time { return moment }, Plugins: noPlugins,
		Redis: func(*moodle.Site) (redis.Login, bool) { return redis.Login{}, false },
	})
	return a, &moment
}

// refreshed is what a collector shows after reading everything anew.
func refreshed(t *testing.T, a *Activity) (map[string]float64, error) {
	t.Helper()
	clear(a.activity.refresher.Last().Value)
	clear(a.files.refresher.Last().Value)
	a.Refresh(t.Context())
	a.files.refresher.Refresh(t.Context())
	return seriesOf(t, a)
}

// inTables puts the tables of a site into a query: {user} is its table of users.
func inTables(site *moodle.Site, query string) string {
	return strings.NewReplacer("{", "`"+strings.ReplaceAll(site.Config.DBName, "`", "``")+"`."+site.Config.Prefix, "}", "").Replace(query)
}

// TestActivityValues compares every value with a query that was written apart from the collector's.
func TestActivityValues(t *testing.T) {
	server, sites := theFleet(t)
	a, now := activityCollector(t, sites)
	got, err := refreshed(t, a)
	if err != nil {
		t.Fatal(err)
	}
	moment := fmt.Sprint(now.Unix())
	want := map[string]float64{}
	for _, site := range sites {
		for series, query := range map[string]string{
			"users{%s,active}":              "select count(id) from {user} where not deleted and not suspended and confirmed",
			"users{%s,suspended}":           "select count(id) from {user} where not deleted and suspended",
			"users{%s,unconfirmed}":         "select count(id) from {user} where not deleted and not suspended and not confirmed",
			"users{%s,deleted}":             "select count(id) from {user} where deleted",
			"users_active{%s,5m}":           "select count(id) from {user} where not deleted and NOW-lastaccess<300",
			"users_active{%s,24h}":          "select count(id) from {user} where not deleted and NOW-lastaccess<86400",
			"users_active{%s,7d}":           "select count(id) from {user} where not deleted and NOW-lastaccess<604800",
			"users_active{%s,30d}":          "select count(id) from {user} where not deleted and NOW-lastaccess<2592000",
			"courses{%s,true}":              "select count(id) from {course} where category and visible",
			"courses{%s,false}":             "select count(id) from {course} where category and not visible",
			"sessions{%s}":                  "select count(id) from {sessions} where NOW-timemodified<(select value from {config} where name='sessiontimeout')",
			"quiz_attempts_in_progress{%s}": "select count(id) from {quiz_attempts} where state in ('inprogress','overdue') and not preview",
			"files{%s}":                     "select count(id) from {files}",
			"files_bytes{%s}":               "select sum(filesize) from {files}",
		} {
			want[fmt.Sprintf(series, site.Name)] = askNumber(t, server, strings.ReplaceAll(inTables(site, query), "NOW", moment))
		}
		for _, series := range []string{
			"logins_total{%s}", "login_failures_total{%s}", "task_runs_total{scheduled,%s}", "task_runs_total{adhoc,%s}",
			"task_failures_total{scheduled,%s}", "task_failures_total{adhoc,%s}", "task_duration_seconds_total{scheduled,%s}", "task_duration_seconds_total{adhoc,%s}",
		} {
			want[fmt.Sprintf(series, site.Name)] = 0
		}
		for _, source := range []string{"activity", "files"} {
			want["refresh_last_success_timestamp_seconds{"+site.Name+","+source+"}"] = float64(now.Unix())
		}
	}
	// 4 October 2027 and 19 April 2027.
	want["site_release_support_end_timestamp_seconds{lms}"] = 1822608000
	want["site_release_support_end_timestamp_seconds{campus}"] = 1808092800
	if !maps.Equal(got, want) {
		t.Errorf("differences: %v", difference(want, got))
	}
	page, _ := once(t, a)
	lint(t, page)
}

// TestActivityDoctored changes one thing at a time in the 4.5 site: exactly its metrics change.
func TestActivityDoctored(t *testing.T) {
	server, sites := theFleet(t)
	a, now := activityCollector(t, sites)
	const (
		user    = "UPDATE {user} SET deleted=0, suspended=0, confirmed=1, lastaccess=0 WHERE id=2; "
		attempt = "INSERT INTO {quiz_attempts} (id, quiz, userid, attempt, uniqueid, layout, currentpage, preview, state, timestart) VALUES "
	)
	tests := map[string]struct {
		statement string
		change    map[string]float64 // added to the value of before
	}{
		"suspended":            {"UPDATE {user} SET suspended=1 WHERE id=2", map[string]float64{"users{lms,active}": -1, "users{lms,suspended}": 1}},
		"deleted and more":     {"UPDATE {user} SET suspended=1, confirmed=0, deleted=1, lastaccess=NOW WHERE id=2", map[string]float64{"users{lms,active}": -1, "users{lms,deleted}": 1}},
		"unconfirmed":          {"UPDATE {user} SET confirmed=0 WHERE id=2", map[string]float64{"users{lms,active}": -1, "users{lms,unconfirmed}": 1}},
		"seen just now":        {"UPDATE {user} SET lastaccess=NOW-299 WHERE id=2", map[string]float64{"users_active{lms,5m}": 1, "users_active{lms,24h}": 1, "users_active{lms,7d}": 1, "users_active{lms,30d}": 1}},
		"seen a while ago":     {"UPDATE {user} SET lastaccess=NOW-300 WHERE id=2", map[string]float64{"users_active{lms,24h}": 1, "users_active{lms,7d}": 1, "users_active{lms,30d}": 1}},
		"seen last month":      {"UPDATE {user} SET lastaccess=NOW-2591999 WHERE id=2", map[string]float64{"users_active{lms,30d}": 1}},
		"course hidden":        {"UPDATE {course} SET visible=0, category=7 WHERE id=1", map[string]float64{"courses{lms,false}": 1}},
		"session":              {"INSERT INTO {sessions} (sid, userid, timecreated, timemodified) VALUES ('x', 0, 5, NOW-28799)", map[string]float64{"sessions{lms}": 1}},
		"session timed out":    {"INSERT INTO {sessions} (sid, userid, timecreated, timemodified) VALUES ('x', 0, 5, NOW-28800)", nil},
		"attempt":              {attempt + "(9,1,2,1,9001,'',0,0,'inprogress',5)", map[string]float64{"quiz_attempts_in_progress{lms}": 1}},
		"attempt out of time":  {attempt + "(9,1,2,1,9001,'',0,0,'overdue',5)", map[string]float64{"quiz_attempts_in_progress{lms}": 1}},
		"attempt finished":     {attempt + "(9,1,2,1,9001,'',0,0,'finished',5)", nil},
		"attempt of a teacher": {attempt + "(9,1,2,1,9001,'',0,1,'inprogress',5)", nil},
		"file":                 {"INSERT INTO {files} (id, contenthash, pathnamehash, contextid, component, filearea, itemid, filepath, filename, filesize, timecreated, timemodified) VALUES (9000001,'a','x',1,'c','f',0,'/','n',77777777777,5,5)", map[string]float64{"files{lms}": 1, "files_bytes{lms}": 77777777777}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			keep(t, "user", "course", "sessions", "quiz_attempts", "files")
			must(t, server.Exec(t.Context(), inTables(sites[0], strings.TrimSuffix(user, "; "))))
			before, err := refreshed(t, a)
			must(t, err)
			must(t, server.Exec(t.Context(), strings.ReplaceAll(inTables(sites[0], test.statement), "NOW", fmt.Sprint(now.Unix()))))
			got, err := refreshed(t, a)
			must(t, err)
			want := maps.Clone(before)
			for series, change := range test.change {
				want[series] += change
			}
			if !maps.Equal(got, want) {
				t.Errorf("changed: %v, want %v", difference(before, got), test.change)
			}
		})
	}
}

// TestActivityOfOlderMoodles: tables lack the columns and values that came later, none of which is needed.
func TestActivityOfOlderMoodles(t *testing.T) {
	server, sites := theFleet(t)
	keep(t, "config")
	table := "`" + schema45 + "`.m45_"
	must(t, server.Exec(t.Context(), "ALTER TABLE "+table+"task_log RENAME COLUMN hostname TO hidden1, RENAME COLUMN pid TO hidden2",
		"UPDATE "+table+"config SET value='2021051700' WHERE name='version'"))
	t.Cleanup(func() {
		must(t, server.Exec(context.WithoutCancel(t.Context()), "ALTER TABLE "+table+"task_log RENAME COLUMN hidden1 TO hostname, RENAME COLUMN hidden2 TO pid"))
	})
	sites[0].Version = moodle.Version{Number: "2021051700", Release: "3.11 (Build: 20210517)", Branch: "311"}
	sites[0].Config.SessionHandler = `\core\session\redis` // whose sessions had rows up to 4.4
	a, _ := activityCollector(t, sites)
	got, err := refreshed(t, a)
	must(t, err)
	wantValues(t, got, map[string]float64{"site_release_support_end_timestamp_seconds{lms}": 1702252800, "task_runs_total{adhoc,lms}": 0})
	if _, there := got["sessions{lms}"]; !there {
		t.Error("no sessions")
	}
}

func TestWhatASiteDoesNotKeepIsAbsent(t *testing.T) {
	server, sites := theFleet(t)
	sites[0].Config.SessionHandler = `\core\session\redis`
	a, _ := activityCollector(t, sites)
	for name, test := range map[string]struct {
		statement string
		absent    []string
	}{
		"sessions in Redis": {"DO 1", []string{"sessions{lms}"}},
		"log store off": {"UPDATE {config_plugins} SET value='logstore_other' WHERE plugin='tool_log' AND name='enabled_stores'",
			[]string{"logins_total{lms}", "login_failures_total{lms}"}},
		"no log of tasks": {"REPLACE INTO {config} (name, value) VALUES ('task_logmode', '0')",
			[]string{"task_failures_total{scheduled,lms}", "task_runs_total{scheduled,lms}", "task_duration_seconds_total{adhoc,lms}"}},
		"log of failed tasks": {"REPLACE INTO {config} (name, value) VALUES ('task_logmode', '2')",
			[]string{"task_runs_total{scheduled,lms}", "task_duration_seconds_total{adhoc,lms}"}},
		"unknown branch": {"DO 1", []string{"plugins_missing{lms}", "plugin_updates_available{lms}", "core_update_available{lms}"}},
	} {
		t.Run(name, func(t *testing.T) {
			keep(t, "config", "config_plugins")
			must(t, server.Exec(t.Context(), inTables(sites[0], test.statement)))
			got, err := refreshed(t, a)
			must(t, err)
			for _, series := range test.absent {
				if _, there := got[series]; there {
					t.Errorf("%s is there", series)
				}
			}
			_, failures := got["task_failures_total{scheduled,lms}"]
			if want := name != "no log of tasks"; failures != want {
				t.Errorf("failed tasks there: %v", failures)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
