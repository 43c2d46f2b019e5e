package alerts_test

import (
	"io/fs"
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
	receivers := map[string]string{"critical": "oncall", "warning": "admins", "info": "admins", "none": "nobody"}
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

// matching returns what the matchers say about a label: the text between the quotes.
func matching(t *testing.T, matchers []string, label string) string {
	t.Helper()
	for _, m := range matchers {
		if rest, found := strings.CutPrefix(m, label+"="); found {
			text, err := strconv.Unquote(strings.TrimPrefix(rest, "~"))
			if err != nil {
				t.Fatalf("matcher %s: %v", m, err)
			}
			return text
		}
	}
	t.Fatalf("%q say nothing about %s", matchers, label)
	return ""
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

// A label that is missing on both alerts counts as equal and lets strangers silence each other;
// an alert that fires before its inhibitor, or outlasts it, is mailed.
func TestInhibitionsCanWork(t *testing.T) {
	rules, cases := allRules(t), alertCases(t)
	for _, inhibit := range inhibitions(t) {
		source := rules[matching(t, inhibit.Source, "alertname")]
		target := rules[matching(t, inhibit.Target, "alertname")]
		for _, r := range []rule{source, target} {
			for _, c := range cases[r.Alert] {
				for _, fired := range c.Expected {
					for _, label := range inhibit.Equal {
						if fired.Labels[label] == "" {
							t.Errorf("%s fires without the label %s, which its inhibition compares", r.Alert, label)
						}
					}
				}
			}
		}
		for _, label := range []string{"job", "instance"} {
			if !slices.Contains(inhibit.Equal, label) {
				t.Errorf("%s of one host inhibits %s of another: equal lacks %s", source.Alert, target.Alert, label)
			}
		}
		if duration(t, source.For) >= duration(t, target.For) {
			t.Errorf("%s fires no earlier than %s, which it inhibits", source.Alert, target.Alert)
		}
		if duration(t, source.KeepFiringFor) < duration(t, target.KeepFiringFor) {
			t.Errorf("%s ends before %s, which it inhibits", source.Alert, target.Alert)
		}
	}
}

// Only a database server of the host itself is one of the host's units.
func TestDatabaseInhibitsItsOwnUnit(t *testing.T) {
	index := slices.IndexFunc(inhibitions(t), func(i inhibition) bool {
		return matching(t, i.Source, "alertname") == "MoodleDBDown"
	})
	if index < 0 {
		t.Fatal("MoodleDBDown inhibits nothing")
	}
	inhibit := inhibitions(t)[index]
	// Alertmanager anchors its expressions.
	server := regexp.MustCompile("^(?:" + matching(t, inhibit.Source, "server") + ")$")
	unit := regexp.MustCompile("^(?:" + matching(t, inhibit.Target, "unit") + ")$")
	tests := []struct {
		expression *regexp.Regexp
		value      string
		matches    bool
	}{
		{server, "/run/mysqld/mysqld.sock", true},
		{server, "unix:/run/mysqld/mysqld.sock", true},
		{server, "localhost:3306", true},
		{server, "localhost", true},
		{server, "127.0.0.1:3306", true},
		{server, "[::1]:3306", true},
		{server, "db.example.org:3306", false},
		{server, "localhost.example.org:3306", false},
		{server, "10.0.0.5:3306", false},
		{unit, "mariadb.service", true},
		{unit, "mysql.service", true},
		{unit, "mysqld.service", true},
		{unit, "mariadb@second.service", true},
		{unit, "nginx.service", false},
		{unit, "mysql-exporter.service", false},
		{unit, "mariadbXservice", false},
	}
	for _, test := range tests {
		if got := test.expression.MatchString(test.value); got != test.matches {
			t.Errorf("%s matches %s: %v", test.value, test.expression, got)
		}
	}
}
