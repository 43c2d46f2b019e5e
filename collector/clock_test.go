package collector

import (
	"maps"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/internal/redis"
)

// TestClockJumps: a clock that is set a day ahead and back again, as on a machine whose time server was wrong, costs
// nothing for longer than the next reading: no collector fails, no counter goes back, nothing waits for the time to come.
func TestClockJumps(t *testing.T) {
	_, sites := theFleet(t)
	moment := time.Unix(time.Now().Unix(), 0) // a set clock does not show in the monotonic one, which time.Now carries as well
	clock := func() time.Time { return moment }
	connections := connect(t)
	activity := NewActivity(ActivitySources{
		Sites: sitesOf(sites), Connections: connections, Clock: clock, Plugins: noPlugins,
		Redis: func(*moodle.Site) (redis.Login, bool) { return redis.Login{}, false },
	})
	engine := New(discard(), clock, 0,
		NewDatabase(sitesOf(sites), connections, clock, discard()), activity,
		NewSite(SiteSources{Sites: sitesOf(sites), Connections: connections, Clock: clock, CLIMaintenance: unknown, UpgradePending: noAnswer}))
	read := func() map[string]float64 {
		activity.Refresh(t.Context())
		activity.files.refresher.Refresh(t.Context())
		return gatherValues(t, engine, 10*time.Second)
	}
	before := read()
	for _, by := range []time.Duration{24 * time.Hour, -24 * time.Hour, -24 * time.Hour, 24 * time.Hour, -3 * time.Hour, 3 * time.Hour} {
		moment = moment.Add(by)
		// At the very next scrape, before anything is read anew, nothing fails for more than the age of what was read.
		if at := gatherValues(t, engine, 10*time.Second); at["scrape_collector_success{database}"] != 1 || at["scrape_collector_success{site}"] != 1 {
			t.Errorf("%v later: %v", by, at)
		}
		after := read()
		for _, name := range []string{"database", "site", "activity"} {
			if after["scrape_collector_success{"+name+"}"] != 1 {
				t.Errorf("%v later %s fails: %v", by, name, engine.Failures())
			}
		}
		for series := range maps.Keys(before) {
			if _, there := after[series]; !there {
				t.Errorf("%v later %s is gone", by, series)
			}
		}
		for _, counter := range []string{"logins_total{lms}", "task_runs_total{scheduled,lms}", "task_runs_total{lms,scheduled}"} {
			if after[counter] < before[counter] {
				t.Errorf("%s went back from %v to %v", counter, before[counter], after[counter])
			}
		}
		counted := after["refresh_last_success_timestamp_seconds{lms,files}"]
		if age := float64(moment.Unix()) - counted; age < 0 || age > filesCadence.Seconds() {
			t.Errorf("%v later the files were counted %v seconds ago", by, age)
		}
	}
}
