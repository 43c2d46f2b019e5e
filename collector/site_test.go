package collector

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// afterDump is a moment shortly after both fixtures were dumped.
var afterDump = time.Unix(1795337400, 0)

func unknown(context.Context, *moodle.Site) (bool, bool) { return false, false }
func noAnswer(*moodle.Site) (bool, bool)                 { return false, false }

// siteCollector reads sites shortly after the dump, without maintenance file and facts.
func siteCollector(t *testing.T, sites []*moodle.Site) *Site {
	t.Helper()
	return NewSite(SiteSources{
		Sites: sitesOf(sites), Connections: connect(t), Clock: func() time.Time { return afterDump },
		CLIMaintenance: unknown, UpgradePending: noAnswer,
	})
}

func TestSiteGolden(t *testing.T) {
	_, sites := theFleet(t)
	sites[1].Version.Number = "2025100601" // newer code than the database
	golden, err := os.ReadFile("testdata/site.txt")
	if err != nil {
		t.Fatal(err)
	}
	wantText(t, siteCollector(t, sites), string(golden))
}

// TestSiteValues compares with queries that were written apart from the collector's.
func TestSiteValues(t *testing.T) {
	server, sites := theFleet(t)
	got, err := seriesOf(t, siteCollector(t, sites))
	if err != nil {
		t.Fatal(err)
	}
	now := fmt.Sprint(afterDump.Unix())
	for _, site := range sites {
		table := strings.NewReplacer("{", "`"+strings.ReplaceAll(site.Config.DBName, "`", "``")+"`."+site.Config.Prefix, "}", "", "NOW", now)
		for series, query := range map[string]string{
			"maintenance_mode{admin,%s}":            "select value<>'0' and value<>'cli mode' from {config} where name='maintenance_enabled'",
			"upgrade_running{%s}":                   "select count(*) from {config} where name='upgraderunning' and value>NOW",
			"cron_enabled{%s}":                      "select value from {config} where name='cron_enabled'",
			"cron_last_start_timestamp_seconds{%s}": "select value from {config_plugins} where plugin='tool_task' and name='lastcronstart'",
			"tasks_failing{%s}": "select (select count(*) from {task_scheduled} where faildelay>0 and disabled=0)" +
				"+(select count(*) from {task_adhoc} where faildelay>0 and (attemptsavailable is null or attemptsavailable<>0))",
			"tasks_overdue{%s}":                 "select count(*) from {task_scheduled} where disabled=0 and timestarted is null and lastruntime<>0 and lastruntime is not null and NOW-nextruntime>600",
			"tasks_running{%s}":                 "select (select count(timestarted) from {task_scheduled})+(select count(timestarted) from {task_adhoc})",
			"task_adhoc_queued{%s}":             "select count(*) from {task_adhoc} where not nextruntime>NOW and timestarted is null and not attemptsavailable<=>0",
			"task_adhoc_oldest_age_seconds{%s}": "select coalesce(max(NOW-nextruntime),0) from {task_adhoc} where not nextruntime>NOW and timestarted is null and not attemptsavailable<=>0",
			"task_longest_running_seconds{%s}":  "select coalesce(max(NOW-timestarted),0) from (select timestarted from {task_scheduled} union all select timestarted from {task_adhoc}) running",
			"upgrade_pending{%s}":               "select value+0<" + site.Version.Number + " from {config} where name='version'",
		} {
			name := fmt.Sprintf(series, site.Name)
			value, there := got[name]
			if want := askNumber(t, server, table.Replace(query)); !there || value != want {
				t.Errorf("%s is %v (there: %v), the query says %v", name, value, there, want)
			}
		}
		_, there := got["cron_interval_seconds{"+site.Name+"}"]
		if rows := ask(t, server, table.Replace("select count(*) from {config_plugins} where plugin='tool_task' and name='lastcroninterval' and value>0")); there != (rows == "1") {
			t.Errorf("cron_interval_seconds of %s there: %v, rows: %s", site.Name, there, rows)
		}
	}
}

// TestSiteDoctored changes one thing at a time in the 4.5 site: exactly its metrics change.
func TestSiteDoctored(t *testing.T) {
	server, sites := theFleet(t)
	c := siteCollector(t, sites)
	before, err := seriesOf(t, c)
	if err != nil {
		t.Fatal(err)
	}
	const (
		now   = "1795337400"
		task  = `\core\task\context_cleanup_task`
		class = ` WHERE classname='\\core\\task\\context_cleanup_task'`
		adhoc = "INSERT INTO {task_adhoc} (id, component, classname, nextruntime, faildelay, timecreated, timestarted, attemptsavailable) VALUES "
	)
	tests := map[string]struct {
		statement string
		want      map[string]float64
	}{
		"failing scheduled": {"UPDATE {task_scheduled} SET disabled=0, timestarted=NULL, nextruntime=" + now + ", faildelay=7680" + class,
			map[string]float64{"tasks_failing{lms}": before["tasks_failing{lms}"] + 1, "task_fail_delay_seconds{lms," + task + "}": 7680}},
		"failing but disabled": {"UPDATE {task_scheduled} SET disabled=1, faildelay=7680" + class, nil},
		"overdue": {"UPDATE {task_scheduled} SET disabled=0, timestarted=NULL, lastruntime=5, nextruntime=" + now + "-601" + class,
			map[string]float64{"tasks_overdue{lms}": before["tasks_overdue{lms}"] + 1}},
		"not overdue yet": {"UPDATE {task_scheduled} SET disabled=0, timestarted=NULL, lastruntime=5, nextruntime=" + now + "-600" + class, nil},
		"never ran":       {"UPDATE {task_scheduled} SET disabled=0, timestarted=NULL, lastruntime=0, nextruntime=5" + class, nil},
		"running": {"UPDATE {task_scheduled} SET timestarted=" + now + "-90" + class,
			map[string]float64{"tasks_running{lms}": 1, "task_longest_running_seconds{lms}": 90}},
		"adhoc running": {adhoc + "(9001,'','x'," + now + "-500,NULL,0," + now + "-77,12)",
			map[string]float64{"tasks_running{lms}": 1, "task_longest_running_seconds{lms}": 77}},
		"adhoc due": {adhoc + "(9001,'','x'," + now + "-500,NULL,0,NULL,12),(9002,'','x'," + now + "-20,0,0,NULL,NULL)",
			map[string]float64{"task_adhoc_queued{lms}": before["task_adhoc_queued{lms}"] + 2, "task_adhoc_oldest_age_seconds{lms}": 500}},
		"adhoc later":    {adhoc + "(9001,'','x'," + now + "+1,NULL,0,NULL,12)", nil},
		"adhoc given up": {adhoc + "(9001,'','x',5,86400,0,NULL,0)", nil},
		"adhoc failing": {adhoc + "(9001,'','\\\\mod_x\\\\y'," + now + "+50,60,0,NULL,3),(9002,'','\\\\mod_x\\\\y'," + now + "+50,240,0,NULL,1)",
			map[string]float64{"tasks_failing{lms}": before["tasks_failing{lms}"] + 2, `task_fail_delay_seconds{lms,\mod_x\y}`: 240}},
		"maintenance by the administrator": {"UPDATE {config} SET value='1' WHERE name='maintenance_enabled'",
			map[string]float64{"maintenance_mode{admin,lms}": 1}},
		"maintenance by the command line": {"UPDATE {config} SET value='cli mode' WHERE name='maintenance_enabled'",
			map[string]float64{"maintenance_mode{cli,lms}": 1}},
		"upgrade running":   {"INSERT INTO {config} (name,value) VALUES ('upgraderunning'," + now + "+200)", map[string]float64{"upgrade_running{lms}": 1}},
		"upgrade left over": {"INSERT INTO {config} (name,value) VALUES ('upgraderunning'," + now + "-1)", nil},
		"upgrade pending":   {"UPDATE {config} SET value='2024100705' WHERE name='version'", map[string]float64{"upgrade_pending{lms}": 1}},
		"older code":        {"UPDATE {config} SET value='2024100705.02' WHERE name='version'", nil},
		"cron off":          {"UPDATE {config} SET value='0' WHERE name='cron_enabled'", map[string]float64{"cron_enabled{lms}": 0}},
		"cron interval": {"REPLACE INTO {config_plugins} (plugin,name,value) VALUES ('tool_task','lastcroninterval','61')",
			map[string]float64{"cron_interval_seconds{lms}": 61}},
	}
	table := strings.NewReplacer("{", "`"+schema45+"`.m45_", "}", "")
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			keep(t, "task_scheduled", "task_adhoc", "config", "config_plugins")
			if err := server.Exec(t.Context(), table.Replace(test.statement)); err != nil {
				t.Fatal(err)
			}
			got, err := seriesOf(t, c)
			if err != nil {
				t.Fatal(err)
			}
			want := maps.Clone(before)
			maps.Copy(want, test.want)
			if !maps.Equal(got, want) {
				t.Errorf("changed: %v, want %v", difference(before, got), test.want)
			}
		})
	}
}

// keep restores tables of the 4.5 site when the test ends.
func keep(t *testing.T, tables ...string) {
	t.Helper()
	server, _ := theFleet(t)
	for _, name := range tables {
		table, copied := "`"+schema45+"`.m45_"+name, "`moodleX4.5`."+name
		if err := server.Exec(t.Context(), "CREATE TABLE "+copied+" AS SELECT * FROM "+table); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			err := server.Exec(context.WithoutCancel(t.Context()), "DELETE FROM "+table, "INSERT INTO "+table+" SELECT * FROM "+copied, "DROP TABLE "+copied)
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func difference(before, after map[string]float64) map[string]string {
	changes := make(map[string]string)
	for name := range before {
		if value, there := after[name]; !there {
			changes[name] = "gone"
		} else if value != before[name] {
			changes[name] = fmt.Sprint(value)
		}
	}
	for name, value := range after {
		if _, there := before[name]; !there {
			changes[name] = fmt.Sprint("new: ", value)
		}
	}
	return changes
}

// TestSiteBefore44 reads a queue without the column attemptsavailable, as up to 4.3.
func TestSiteBefore44(t *testing.T) {
	server, sites := theFleet(t)
	keep(t, "config")
	table := "`" + schema45 + "`.m45_"
	err := server.Exec(t.Context(), "ALTER TABLE "+table+"task_adhoc RENAME COLUMN attemptsavailable TO hidden",
		"UPDATE "+table+"config SET value='2022112800' WHERE name='version'",
		"INSERT INTO "+table+"task_adhoc (id, classname, nextruntime, hidden) VALUES (9001, 'x', 1795337400-5000, 0)")
	t.Cleanup(func() {
		undone := server.Exec(context.WithoutCancel(t.Context()), "ALTER TABLE "+table+"task_adhoc RENAME COLUMN hidden TO attemptsavailable",
			"DELETE FROM "+table+"task_adhoc WHERE id = 9001")
		if undone != nil {
			t.Error(undone)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := seriesOf(t, siteCollector(t, sites))
	if err != nil || got["task_adhoc_queued{lms}"] != 2 || got["task_adhoc_oldest_age_seconds{lms}"] != 5000 {
		t.Errorf("queue of an old site: %v, %v (%v)", got["task_adhoc_queued{lms}"], got["task_adhoc_oldest_age_seconds{lms}"], err)
	}
}

// TestSiteUncounted: what the indexes tell stays when the queue cannot be counted.
func TestSiteUncounted(t *testing.T) {
	server, sites := theFleet(t)
	column := "ALTER TABLE `" + schema45 + "`.m45_task_adhoc RENAME COLUMN "
	if err := server.Exec(t.Context(), column+"faildelay TO hidden"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Exec(context.WithoutCancel(t.Context()), column+"hidden TO faildelay"); err != nil {
			t.Error(err)
		}
	})
	got, err := seriesOf(t, siteCollector(t, sites))
	if err == nil || !strings.Contains(err.Error(), "count ad hoc tasks of site lms") {
		t.Errorf("the error is %v", err)
	}
	for series, want := range map[string]bool{
		"cron_enabled{lms}": true, "tasks_overdue{lms}": true, "task_adhoc_oldest_age_seconds{lms}": true,
		"tasks_failing{lms}": false, "task_adhoc_queued{lms}": false, "task_adhoc_queued{campus}": true,
	} {
		if _, there := got[series]; there != want {
			t.Errorf("%s there: %v", series, there)
		}
	}
}

func TestSiteWorstTasks(t *testing.T) {
	server, sites := theFleet(t)
	keep(t, "task_scheduled")
	if err := server.Exec(t.Context(), "UPDATE `"+schema45+"`.m45_task_scheduled SET disabled=0, faildelay=1000+id"); err != nil {
		t.Fatal(err)
	}
	got, err := seriesOf(t, siteCollector(t, sites))
	if err != nil {
		t.Fatal(err)
	}
	shown, least := 0, 1e9
	for name, value := range got {
		if strings.HasPrefix(name, "task_fail_delay_seconds{lms") {
			shown, least = shown+1, min(least, value)
		}
	}
	want := askNumber(t, server, "SELECT MIN(faildelay) FROM (SELECT faildelay FROM `"+schema45+"`.m45_task_scheduled ORDER BY faildelay DESC LIMIT 20) worst")
	if shown != maxFailing || least != want {
		t.Errorf("%d tasks shown, the least of them with %v s; want %d and %v", shown, least, maxFailing, want)
	}
}

// TestSiteWithoutDatabase: what comes from files and facts stays, the rest is absent.
func TestSiteWithoutDatabase(t *testing.T) {
	_, sites := theFleet(t)
	for _, site := range sites {
		site.Config.DBSocket = filepath.Join(t.TempDir(), "none.sock")
	}
	c := siteCollector(t, sites)
	c.CLIMaintenance = func(context.Context, *moodle.Site) (bool, bool) { return true, true }
	c.UpgradePending = func(site *moodle.Site) (bool, bool) { return site.Name == "lms", site.Name == "lms" }
	got, err := seriesOf(t, c)
	want := map[string]float64{
		"maintenance_mode{cli,lms}": 1, "maintenance_mode{cli,campus}": 1, "upgrade_pending{lms}": 1,
		"site_info{405,4.5.5+ (Build: 20250613),lms,2024100705.01,https://lms.example.org}":     1,
		"site_info{501,5.1+ (Build: 20251017),campus,2025100600.02,https://campus.example.org}": 1,
	}
	if err == nil || !maps.Equal(got, want) {
		t.Errorf("without a database: %v (%v), want %v", got, err, want)
	}
}

func TestMaintenanceFiles(t *testing.T) {
	files := NewMaintenanceFiles()
	site := &moodle.Site{Name: "lms", Config: moodle.PHPConfig{DataRoot: t.TempDir()}}
	if on, known := files.On(t.Context(), site); on || !known {
		t.Errorf("without the file: %v, %v", on, known)
	}
	if err := os.WriteFile(filepath.Join(site.Config.DataRoot, "climaintenance.html"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if on, known := files.On(t.Context(), site); !on || !known {
		t.Errorf("with the file: %v, %v", on, known)
	}
	if on, known := files.On(t.Context(), &moodle.Site{Name: "odd", Config: moodle.PHPConfig{DataRoot: "\x00"}}); on || known {
		t.Errorf("a dataroot that cannot be looked into: %v, %v", on, known)
	}
}

// TestMaintenanceFileOnHungMount: a dataroot on a share that really hangs is asked once.
func TestMaintenanceFileOnHungMount(t *testing.T) {
	files := NewMaintenanceFiles()
	site := &moodle.Site{Name: "lms", Config: moodle.PHPConfig{DataRoot: hungMount(t)}}
	before := runtime.NumGoroutine()
	for range 50 {
		if on, known := files.On(t.Context(), site); on || known {
			t.Fatalf("while the share hangs: %v, %v", on, known)
		}
	}
	if more := runtime.NumGoroutine() - before; more > 1 {
		t.Errorf("%d goroutines hang, want 1", more)
	}
}
