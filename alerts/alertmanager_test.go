package alerts_test

import (
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/common/model"

	"github.com/moodle-exporter/moodle-exporter/alerts"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

func TestAlertmanagerConfigIsValid(t *testing.T) {
	stand.Need(t, stand.Alertmanager)
	if out, ok := runTool(t, ".", "amtool", "check-config", "alertmanager.yml"); !ok {
		t.Error(out)
	}
}

func TestEveryAlertReachesItsReceiver(t *testing.T) {
	stand.Need(t, stand.Alertmanager)
	receivers := map[string]string{"critical": "oncall", "warning": "admins", "info": "digest", "none": "nobody"}
	route := func(receiver, alert, severity string) {
		t.Helper()
		out, ok := runTool(t, ".", "amtool", "config", "routes", "test", "--config.file=alertmanager.yml",
			"--verify.receivers="+receiver, "alertname="+alert, "severity="+severity)
		if !ok {
			t.Errorf("%s with severity %s does not go to %s: %s", alert, severity, receiver, out)
		}
	}
	for name, r := range allRules(t) {
		if name != "Watchdog" {
			route(receivers[r.Labels["severity"]], name, r.Labels["severity"])
		}
	}
	route("deadmansswitch", "Watchdog", "none")
	for severity, receiver := range receivers {
		route(receiver, "SomethingElse", severity)
	}
	route("admins", "SomethingElse", "unheard-of")
}

// inhibition is one of Alertmanager's inhibit_rules.
type inhibition struct {
	Source []string `yaml:"source_matchers"`
	Target []string `yaml:"target_matchers"`
	Equal  []string `yaml:"equal"`
}

func inhibitions(t *testing.T) []inhibition {
	t.Helper()
	content, err := fs.ReadFile(alerts.Files(), "alertmanager.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Rules []inhibition `yaml:"inhibit_rules"`
	}
	if err := yaml.Unmarshal(content, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Rules) == 0 {
		t.Fatal("no inhibitions")
	}
	return file.Rules
}

// duration reads a duration of Prometheus, nothing being none.
func duration(t *testing.T, text string) time.Duration {
	t.Helper()
	if text == "" {
		return 0
	}
	d, err := model.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return time.Duration(d)
}

// matches says whether the matchers let labels pass.
func matches(t *testing.T, matchers []string, labels map[string]string) bool {
	t.Helper()
	for _, m := range matchers {
		parts := regexp.MustCompile(`^([a-z_]+)(=~|!~|!=|=)(".*")$`).FindStringSubmatch(m)
		if parts == nil {
			t.Fatalf("matcher %s cannot be read", m)
		}
		text, err := strconv.Unquote(parts[3])
		if err != nil {
			t.Fatalf("matcher %s: %v", m, err)
		}
		value := labels[parts[1]]
		// Alertmanager anchors its expressions.
		passes := map[string]func() bool{
			"=": func() bool { return value == text }, "!=": func() bool { return value != text },
			"=~": func() bool { return regexp.MustCompile("^(?:" + text + ")$").MatchString(value) },
		}[parts[2]]
		if passes == nil || !passes() {
			return false
		}
	}
	return true
}

// alertLabels are the labels that each alert has, with their values in a situation. Those by which only some of an
// alert take part in an inhibition are left out, so that the matchers can be asked about the alert's name alone.
func alertLabels(t *testing.T) map[string]map[string]string {
	t.Helper()
	found := map[string]map[string]string{}
	for name, cases := range alertCases(t) {
		for _, c := range cases {
			for _, fired := range c.Expected {
				found[name] = maps.Clone(fired.Labels)
				found[name]["alertname"] = name
			}
		}
	}
	return found
}

// names are the alerts that the matchers may mean, whatever they say about other labels.
func names(t *testing.T, matchers []string, labels map[string]map[string]string) []string {
	t.Helper()
	var found []string
	for name, own := range labels {
		about := slices.DeleteFunc(slices.Clone(matchers), func(m string) bool {
			return !strings.HasPrefix(m, "alertname") && !strings.HasPrefix(m, "muted_by_maintenance")
		})
		if matches(t, about, own) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}

// A label that is missing on both alerts counts as equal and lets strangers silence each other;
// an alert that fires before its inhibitor, or outlasts it, is mailed.
func TestInhibitionsCanWork(t *testing.T) {
	rules, labels := allRules(t), alertLabels(t)
	for _, inhibit := range inhibitions(t) {
		sources, targets := names(t, inhibit.Source, labels), names(t, inhibit.Target, labels)
		if len(sources) != 1 || len(targets) == 0 {
			t.Errorf("%q inhibits %q: %d sources, %d targets", inhibit.Source, inhibit.Target, len(sources), len(targets))
			continue
		}
		source := rules[sources[0]]
		for _, label := range []string{"job", "instance"} {
			if !slices.Contains(inhibit.Equal, label) {
				t.Errorf("%s of one host inhibits %q of another: equal lacks %s", source.Alert, targets, label)
			}
		}
		for _, name := range targets {
			target := rules[name]
			// Nothing begins to fire because a host is not scraped any more, and what goes on is kept back.
			if source.Alert != "MoodleExporterDown" {
				inhibitsInTime(t, source, target)
			}
			ofHost := slices.Contains(inhibit.Source, `site=""`) || source.Alert == "MoodleExporterDown"
			for _, label := range inhibit.Equal {
				if labels[source.Alert][label] == "" || labels[name][label] == "" && label != "site" && !ofHost {
					t.Errorf("%s inhibits %s by the label %s, which one of them has not", source.Alert, name, label)
				}
			}
			if labels[source.Alert]["site"] != "" && labels[name]["site"] != "" && !ofHost && !slices.Contains(inhibit.Equal, "site") {
				t.Errorf("%s of one site inhibits %s of another", source.Alert, name)
			}
		}
	}
}

func inhibitsInTime(t *testing.T, source, target rule) {
	t.Helper()
	if duration(t, source.For) >= duration(t, target.For) && target.KeepFiringFor == "" {
		t.Errorf("%s fires no earlier than %s, which it inhibits", source.Alert, target.Alert)
	}
	if duration(t, source.For) > duration(t, target.For) {
		t.Errorf("%s fires later than %s, which it inhibits", source.Alert, target.Alert)
	}
	if duration(t, source.KeepFiringFor) < duration(t, target.KeepFiringFor) && duration(t, target.KeepFiringFor) <= 10*time.Minute {
		t.Errorf("%s ends before %s, which it inhibits", source.Alert, target.Alert)
	}
}

// Only a server of the host itself is one of the host's units.
func TestUnitInhibitsItsOwnServer(t *testing.T) {
	local := []string{"/run/mysqld/mysqld.sock", "unix:/run/mysqld/mysqld.sock", "localhost:3306", "localhost", "127.0.0.1:3306", "[::1]:3306"}
	remote := []string{"db.example.org:3306", "localhost.example.org:3306", "10.0.0.5:3306"}
	units := map[string][]string{
		"MoodleDBDown":    {"mariadb.service", "mysql.service", "mysqld.service", "mariadb@second.service"},
		"MoodleRedisDown": {"redis-server.service", "redis.service", "valkey-server.service", "redis-server@sessions.service"},
	}
	strangers := []string{"nginx.service", "mysql-exporter.service", "mariadbXservice", "redis-exporter.service", "cron.service"}
	for alert, own := range units {
		inhibited := func(unit, server string) bool {
			return slices.ContainsFunc(inhibitions(t), func(i inhibition) bool {
				return matches(t, i.Source, map[string]string{"alertname": "MoodleServiceDown", "unit": unit}) &&
					matches(t, i.Target, map[string]string{"alertname": alert, "server": server})
			})
		}
		for _, server := range local {
			for _, unit := range own {
				if !inhibited(unit, server) {
					t.Errorf("%s does not inhibit %s of %s", unit, alert, server)
				}
			}
			for _, unit := range strangers {
				if inhibited(unit, server) {
					t.Errorf("%s inhibits %s of %s", unit, alert, server)
				}
			}
		}
		for _, server := range remote {
			if inhibited(own[0], server) {
				t.Errorf("%s inhibits %s of %s, which is on another host", own[0], alert, server)
			}
		}
	}
}
