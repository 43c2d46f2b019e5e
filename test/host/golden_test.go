package host

import (
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

var update = flag.Bool("update", false, "write the golden files anew")

// fixed are the metrics whose values depend on the sites and the configuration alone: they stand in the golden file.
// The values of the others are those of the machine and the moment, which testFacts holds against what others say.
var fixed = regexp.MustCompile(`^moodle_(site_info|cron_enabled|cron_interval_seconds|maintenance_mode|upgrade_.*|tasks_failing|tasks_running|task_fail_delay_seconds|` +
	`database_up|database_server_info|database_max_connections|backup_enabled|backup_max_age_seconds|backup_missing_files.*|backup_damaged_files|backup_verify_max_age_seconds|` +
	`backup_offsite_enabled|backups|certificate_(chain_valid|hostname_match|probe_success|days_left)|job_(running|last_result|runs_total|failures_total)|` +
	`users|courses|files|files_bytes|quiz_attempts_in_progress|plugins_missing|site_release_support_end_timestamp_seconds|web_probe_success|web_probe_status_code|` +
	`phpfpm_up|nginx_up|redis_up|redis_memory_max_bytes|service_up|threshold|scrape_collector_success|exporter_config_last_reload_successful)$`)

// normal are the parts of samples that differ from run to run or from machine to machine.
var normal = []struct {
	part *regexp.Regexp
	with string
}{
	// A dead mount of somebody else's on this machine makes it 0.
	{regexp.MustCompile(`(collector_success\{collector="filesystem"\}) [01]`), "$1 …"},
	{regexp.MustCompile(`localhost:\d+`), "localhost:PORT"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "127.0.0.1:PORT"},
	{regexp.MustCompile(`/tmp/[^/"]+/`), "DIR/"},
	{regexp.MustCompile(`serial="[^"]*"`), `serial="…"`},
	{regexp.MustCompile(`(build_info\{).*(\})`), "$1…$2"},
	{regexp.MustCompile(`(database_info\{.*version=").*"`), `$1…"`},
	{regexp.MustCompile(`fstype="[^"]*",mountpoint="[^"]*"`), `fstype="…",mountpoint="…"`},
	{regexp.MustCompile(`mountpoint="[^"]*"`), `mountpoint="…"`},
}

// normalise keeps moodle_ metrics, sorted as they are, and takes out what is not the same everywhere. Certificates and
// filesystems that look alike afterwards stand there once.
func normalise(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "moodle_") {
			if strings.HasPrefix(line, "# ") && strings.Contains(line, " moodle_") {
				lines = append(lines, line)
			}
			continue
		}
		series, value := line[:strings.LastIndexByte(line, ' ')], line[strings.LastIndexByte(line, ' ')+1:]
		name, _, _ := strings.Cut(series, "{")
		if !fixed.MatchString(name) {
			value = "…"
		}
		normalised := series + " " + value
		for _, n := range normal {
			normalised = n.part.ReplaceAllString(normalised, n.with)
		}
		if !slices.Contains(lines, normalised) {
			lines = append(lines, normalised)
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

// testGolden compares the page of a host with two sites after their first backup.
func testGolden(t *testing.T, text string) {
	stand.NeedFixtures(t)
	got := normalise(text)
	const golden = "testdata/metrics-two-sites.txt"
	if *update {
		must(t, os.WriteFile(golden, []byte(got), 0o644))
	}
	want, err := os.ReadFile(golden)
	must(t, err)
	compareLines(t, strings.Split(string(want), "\n"), strings.Split(got, "\n"))
}

func compareLines(t *testing.T, want, got []string) {
	t.Helper()
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("missing: %s", line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("unexpected: %s", line)
		}
	}
}
