package statuspage_test

import (
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/moodle-exporter/moodle-exporter/alerts"
	"github.com/moodle-exporter/moodle-exporter/internal/statuspage"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// patience is how long an alert waits. The page shows this moment, so the conditions are compared without it.
var patience = regexp.MustCompile(`(?m)^\s+(keep_firing_)?for: .*\n`)

// evaluated is the time at which promtool, whose clock starts at 0, looks at the rules.
const evaluated = 10 * time.Minute

type promtoolTest struct {
	Name        string         `yaml:"name"`
	Interval    string         `yaml:"interval"`
	InputSeries []inputSeries  `yaml:"input_series"`
	Expressions []promtoolExpr `yaml:"promql_expr_test"`
}

type inputSeries struct {
	Series string `yaml:"series"`
	Values string `yaml:"values"`
}

type promtoolExpr struct {
	Expr     string           `yaml:"expr"`
	EvalTime string           `yaml:"eval_time"`
	Expected []expectedSample `yaml:"exp_samples"`
}

type expectedSample struct {
	Labels string  `yaml:"labels"`
	Value  float64 `yaml:"value"`
}

// The page and the alerts must say the same of the same samples: Prometheus itself evaluates the shipped rules
// over the samples of every case, and has to find exactly the alerts whose runbooks the report names.
func TestVerdictsAgreeWithAlerts(t *testing.T) {
	stand.Need(t, stand.Prometheus)
	dir := t.TempDir()
	rules, err := fs.Glob(alerts.Files(), "rules/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	file := struct {
		RuleFiles  []string       `yaml:"rule_files"`
		Evaluation string         `yaml:"evaluation_interval"`
		Tests      []promtoolTest `yaml:"tests"`
	}{Evaluation: "1m"}
	for _, rule := range rules {
		text, err := fs.ReadFile(alerts.Files(), rule)
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, path.Base(rule)), patience.ReplaceAll(text, nil))
		file.RuleFiles = append(file.RuleFiles, path.Base(rule))
	}
	fired := map[string]bool{}
	for _, c := range checkCases() {
		file.Tests = append(file.Tests, agreement(t, c, fired))
	}
	text, err := yaml.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "test.yml"), text)
	promtool := exec.CommandContext(t.Context(), "promtool", "test", "rules", "test.yml")
	promtool.Dir = dir
	if out, err := promtool.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for _, name := range alertNames(t) {
		if !fired[name] && name != "Watchdog" {
			t.Errorf("no case has the page and the alert %s say the same: add one, and a check if there is none", name)
		}
	}
}

func alertNames(t *testing.T) []string {
	t.Helper()
	pages, err := fs.Glob(alerts.Files(), "runbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, page := range pages {
		names = append(names, strings.TrimSuffix(path.Base(page), ".md"))
	}
	return names
}

func write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// agreement makes a test for promtool out of a case: its samples, and the alerts that the report speaks of.
func agreement(t *testing.T, c checkCase, fired map[string]bool) promtoolTest {
	t.Helper()
	at := time.Unix(int64(evaluated.Seconds()), 0)
	families := parse(t, c.metrics, at)
	test := promtoolTest{Name: c.section + ": " + c.name, Interval: "1m"}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if math.IsNaN(metric.GetUntyped().GetValue()) {
				continue // promtool cannot write it; in a comparison it is as good as missing
			}
			labels := []string{`job="moodle"`, `instance="host:10059"`}
			for _, pair := range metric.GetLabel() {
				labels = append(labels, fmt.Sprintf("%s=%q", pair.GetName(), pair.GetValue()))
			}
			test.InputSeries = append(test.InputSeries, inputSeries{
				Series: family.GetName() + "{" + strings.Join(labels, ",") + "}",
				Values: fmt.Sprintf("%vx20", metric.GetUntyped().GetValue()),
			})
		}
	}
	expected := promtoolExpr{
		Expr:     `count by (alertname, severity, site, component, server, unit, mountpoint, target) (ALERTS{alertname!="Watchdog"})`,
		EvalTime: "10m", Expected: []expectedSample{},
	}
	for _, section := range statuspage.Evaluate(families, statuspage.Extras{}, at).Sections {
		for _, line := range section.Lines {
			for _, alert := range alertsOf(t, line) {
				fired[line.Runbook] = true
				expected.Expected = append(expected.Expected, expectedSample{alert, 1})
			}
		}
	}
	test.Expressions = []promtoolExpr{expected}
	return test
}

// alertsOf are the alerts that fire where the report has the line.
func alertsOf(t *testing.T, line statuspage.Line) []string {
	t.Helper()
	severity := line.Level.String()
	subject := map[string]string{
		"MoodleCertExpired": "target", "MoodleCertExpiringSoon": "target", "MoodleDBDown": "server",
		"MoodleDiskSpaceLow": "mountpoint", "MoodleServiceDown": "unit",
	}[line.Runbook]
	labels := []string{fmt.Sprintf("%s=%q", subject, line.Subject)}
	switch line.Runbook {
	case "":
		return nil
	case "MoodleBackupTooOld":
		component := strings.Replace(line.Subject, "complete backup", "all", 1)
		labels = []string{fmt.Sprintf("site=%q", line.Site), fmt.Sprintf("component=%q", component)}
	case "MoodleBackupFailed", "MoodleBackupNeverSucceeded", "MoodleCronNotRunning":
		labels = []string{fmt.Sprintf("site=%q", line.Site)}
	case "MoodleDiskSpaceLow":
		severity = "warning" // the page alone knows the second limit
	}
	alert := func(name, severity string) string {
		all := append(slices.Clone(labels), fmt.Sprintf("alertname=%q", name), fmt.Sprintf("severity=%q", severity))
		return "{" + strings.Join(all, ",") + "}"
	}
	found := []string{alert(line.Runbook, severity)}
	if line.Runbook == "MoodleCertExpired" { // which inhibits the other one in Alertmanager
		found = append(found, alert("MoodleCertExpiringSoon", "warning"))
	}
	return found
}
