package live_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// visits are the scrapes of the replay, four minutes apart, so that every one is still fresh at the next.
const (
	visitMinutes = 4
	visitsPerDay = 24 * 60 / visitMinutes
)

// TestHealthyDaysAreSilent replays days of a site that is well to the exported rules: users come and go, the disk and the
// tables grow, backups run at night, certificates are renewed, the exporter is restarted and single scrapes are lost.
// Nothing may fire. The whole proof replays two weeks, each run of the tests two days.
func TestHealthyDaysAreSilent(t *testing.T) {
	t.Parallel()
	stand.Need(t, stand.Prometheus)
	days := 2
	if os.Getenv("PROOF") == "full" {
		days = 14
	}
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), binary, "alerts", "export", dir).CombinedOutput(); err != nil {
		t.Fatalf("alerts export: %v: %s", err, out)
	}
	rules, err := filepath.Glob(filepath.Join(dir, "rules", "*.yml"))
	must(t, err)
	type series struct {
		Series string `yaml:"series"`
		Values string `yaml:"values"`
	}
	type object = map[string]any
	var input []series
	for name, value := range healthy() {
		input = append(input, series{labelled(name), course(days, value)})
	}
	text, err := yaml.Marshal(object{
		"rule_files": rules, "evaluation_interval": fmt.Sprintf("%dm", visitMinutes),
		"tests": []object{{
			"interval": fmt.Sprintf("%dm", visitMinutes), "input_series": input,
			"promql_expr_test": []object{
				{
					"expr":      fmt.Sprintf(`max by (alertname, site) (max_over_time(ALERTS{alertstate="firing", alertname!="Watchdog"}[%dd]))`, days),
					"eval_time": fmt.Sprintf("%dh", 24*days-1), "exp_samples": []object{},
				},
				// So that silence is not that of rules which see nothing.
				{
					"expr":      fmt.Sprintf(`count(max_over_time(ALERTS{alertstate="firing", alertname="Watchdog"}[%dd])) + count(max_over_time(instance:moodle_host_cpu_busy:ratio_rate5m[1h]))`, days),
					"eval_time": fmt.Sprintf("%dh", 24*days-1), "exp_samples": []object{{"labels": "{}", "value": 2}},
				},
			},
		}},
	})
	must(t, err)
	file := filepath.Join(dir, "days.yml")
	must(t, os.WriteFile(file, text, 0o600))
	if out, err := exec.CommandContext(t.Context(), "promtool", "test", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// labelled adds job and instance to a series.
func labelled(series string) string {
	name, labels, _ := strings.Cut(strings.TrimSuffix(series, "}"), "{")
	all := []string{`job="moodle"`, `instance="lms:10059"`}
	if labels != "" {
		all = append(all, labels)
	}
	if name != "up" {
		name = "moodle_" + name
	}
	return name + "{" + strings.Join(all, ", ") + "}"
}

// course writes the values of a series. Each seventh scrape of a run of a hundred is lost, and once a day the exporter is
// restarted, which loses one more.
func course(days int, value func(i int) float64) string {
	values := make([]string, days*visitsPerDay)
	for i := range values {
		if i%100 == 7 || i%visitsPerDay == 200 {
			values[i] = "stale"
			continue
		}
		values[i] = fmt.Sprint(value(i))
	}
	return strings.Join(values, " ")
}

// healthy are the series of a host that is well, by the number of the scrape. Time begins at 0, as promtool's does.
func healthy() map[string]func(i int) float64 {
	const minute, day = 60.0, 86400.0
	now := func(i int) float64 { return float64(i) * visitMinutes * minute }
	is := func(v float64) func(int) float64 { return func(int) float64 { return v } }
	grows := func(perSecond float64) func(int) float64 {
		return func(i int) float64 { return 1000 + perSecond*now(i) }
	}
	ago := func(seconds float64) func(int) float64 { return func(i int) float64 { return now(i) - seconds } }
	// At two in the morning, for twenty minutes.
	atNight := func(i int) bool { return i%visitsPerDay >= 30 && i%visitsPerDay < 35 }
	lastNight := func(i int) float64 { return float64((i+visitsPerDay-35)/visitsPerDay-1)*day + 8400 }
	busy := func(i int) float64 { // a working day
		if hour := i % visitsPerDay / 15; hour >= 8 && hour < 18 {
			return 1
		}
		return 0.1
	}
	when := func(condition func(int) bool, yes, no float64) func(int) float64 {
		return func(i int) float64 {
			if condition(i) {
				return yes
			}
			return no
		}
	}
	all := map[string]func(int) float64{
		"up": is(1), "exporter_build_info": is(1), "exporter_config_last_reload_successful": is(1),
		`host_cpu_seconds_total{mode="idle"}`: grows(1.2), `host_cpu_seconds_total{mode="user"}`: grows(0.8), `host_cpu_seconds_total{mode="iowait"}`: grows(0.1),
		"host_memory_total_bytes": is(8e9), "host_memory_available_bytes": func(i int) float64 { return 5e9 - 2e9*busy(i) }, "host_oom_kills_total": is(3),
		"web_probe_duration_seconds{site=\"lms\"}": func(i int) float64 { return 0.2 + 0.5*busy(i) }, `web_probe_success{site="lms"}`: when(func(i int) bool { return i == 2 || i%700 == 633 }, 0, 1),
		`phpfpm_processes{server="8.2", pool="www", state="active"}`: func(i int) float64 { return 20 * busy(i) }, `phpfpm_max_children{server="8.2", pool="www"}`: is(40), `phpfpm_listen_queue{server="8.2", pool="www"}`: when(func(i int) bool { return i%50 == 3 }, 2, 0),
		`phpfpm_max_children_reached_total{server="8.2", pool="www"}`: is(2), `job_last_result{site="lms", name="backup"}`: is(1), `job_running{site="lms", name="backup"}`: when(atNight, 1, 0),
		`job_last_start_timestamp_seconds{site="lms", name="backup"}`: func(i int) float64 {
			if atNight(i) {
				return lastNight(i) + day - 1200
			}
			return lastNight(i) - 1200
		},
		`job_last_duration_seconds{site="lms", name="backup"}`: is(1200), `backup_baseline_duration_seconds{site="lms"}`: is(1150),
		`backup_enabled{site="lms"}`: is(1), `backups{site="lms"}`: is(9), `backup_missing_files{site="lms"}`: is(2), `backup_missing_files_accepted{site="lms"}`: is(2), `backup_damaged_files{site="lms"}`: is(0),
		`backup_last_verify_result{site="lms"}`: is(1), `backup_verify_max_age_seconds{site="lms"}`: is(15 * day), `backup_last_verify_success_timestamp_seconds{site="lms"}`: func(i int) float64 { return now(i) - float64(i%(7*visitsPerDay))*240 },
		`backup_offsite_enabled{site="lms"}`: is(1), `backup_offsite_last_success_timestamp_seconds{site="lms"}`: lastNight, `restore_drill_last_result{site="lms"}`: is(1), `restore_drill_max_age_seconds{site="lms"}`: is(35 * day), `restore_drill_last_success_timestamp_seconds{site="lms"}`: is(0),
		`cron_last_start_timestamp_seconds{site="lms"}`: ago(40), `cron_enabled{site="lms"}`: is(1), `task_adhoc_oldest_age_seconds{site="lms"}`: func(i int) float64 { return float64(i%10) * 60 }, `task_fail_delay_seconds{site="lms", task="x"}`: is(120),
		`maintenance_mode{site="lms", kind="cli"}`: is(0), `maintenance_mode{site="lms", kind="admin"}`: is(0), `upgrade_pending{site="lms"}`: is(0), `upgrade_running{site="lms"}`: is(0),
		`site_info{site="lms", wwwroot="https://lms.example.org"}`: is(1), `database_server_info{site="lms", server="db"}`: is(1),
		// Certbot renews at 30 days, within half a day, and the web server is reloaded at once.
		`certificate_not_after_timestamp_seconds{target="lms.example.org:443", source="endpoint"}`: when(func(i int) bool { return i < visitsPerDay+100 }, 31*day, 121*day),
		`certificate_chain_valid{target="lms.example.org:443"}`:                                    is(1), `certificate_hostname_match{target="lms.example.org:443"}`: is(1), `certificate_probe_success{target="lms.example.org:443"}`: is(1),
		`redis_up{server="r", role="session"}`: is(1), `redis_memory_used_bytes{server="r", role="session"}`: func(i int) float64 { return 1e8 + 5e8*busy(i) }, `redis_memory_max_bytes{server="r", role="session"}`: is(1e9), `redis_evicted_keys_total{server="r", role="session"}`: is(0), `redis_rejected_connections_total{server="r", role="session"}`: is(0),
		`database_up{server="db"}`: is(1), `database_threads_connected{server="db"}`: func(i int) float64 { return 5 + 60*busy(i) }, `database_max_connections{server="db"}`: is(151), `database_threads_running{server="db"}`: func(i int) float64 { return 1 + 8*busy(i) },
		`database_questions_total{server="db"}`: grows(300), `database_slow_queries_total{server="db"}`: grows(0.2), `database_aborted_connects_total{server="db"}`: grows(0.001), `database_connection_errors_total{server="db", error="max_connections"}`: is(0),
	}
	for _, component := range []string{"all", "database", "files", "code", "config", "logs", "system"} {
		of := `{site="lms", component="` + component + `"}`
		all["backup_last_success_timestamp_seconds"+of], all["backup_max_age_seconds"+of] = lastNight, is(26*3600)
		all["backup_last_size_bytes"+of], all["backup_baseline_size_bytes"+of], all["backup_last_written_bytes"+of] = grows(100), is(1000), is(1e8)
	}
	for _, unit := range []string{"nginx", "mariadb", "php8.2-fpm", "cron"} {
		of := `{unit="` + unit + `.service"}`
		all["service_up"+of] = is(1)
		all["service_start_time_seconds"+of] = func(i int) float64 { return float64(i / 1500) } // an upgrade every few days
	}
	for mount, role := range map[string]string{"/": "root", "/srv/moodledata": "moodledata", "/backup": "backup"} {
		of := `{mountpoint="` + mount + `", fstype="ext4"}`
		all["host_filesystem_size_bytes"+of], all["host_filesystem_readonly"+of], all["host_filesystem_responding"+of] = is(1e12), is(0), is(1)
		// It grows by a gigabyte a day, and a night's work comes and goes.
		all["host_filesystem_avail_bytes"+of] = func(i int) float64 { return 3.5e11 - 1e9*now(i)/day - when(atNight, 3e10, 0)(i) }
		all["host_filesystem_files"+of], all["host_filesystem_files_free"+of] = is(1e7), func(i int) float64 { return 8e6 - 1000*now(i)/day }
		all[`host_filesystem_role_info{mountpoint="`+mount+`", role="`+role+`"}`] = is(1)
	}
	for _, collector := range []string{"cpu", "database", "site", "activity", "web"} {
		all[`scrape_collector_success{collector="`+collector+`"}`] = is(1)
	}
	for name, limit := range map[string]float64{
		"cpu_busy_ratio": 0.9, "memory_available_ratio": 0.1, "disk_free_ratio_warning": 0.15, "disk_free_ratio_critical": 0.05, "cert_warning_days": 30, "cron_max_age_seconds": 900,
		"db_connections_ratio": 0.8, "db_threads_running": 40, "db_slow_query_ratio": 0.05, "db_aborted_connects_per_second": 0.1, "web_slow_seconds": 3, "task_queue_age_seconds": 3600,
	} {
		all[`threshold{name="`+name+`"}`] = is(limit)
	}
	return all
}
