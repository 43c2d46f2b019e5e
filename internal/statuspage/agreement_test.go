package statuspage_test

import (
	"fmt"
	"io/fs"
	"maps"
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
	}{Evaluation: "10m"}
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
		if why := untold[name]; !fired[name] && why == "" {
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
	others := slices.Sorted(maps.Keys(untold))
	expected := promtoolExpr{
		Expr:     fmt.Sprintf(`group by (alertname, severity, site, component, unit, mountpoint, target, collector) (ALERTS{alertname!~%q})`, strings.Join(others, "|")),
		EvalTime: "10m", Expected: []expectedSample{},
	}
	for _, section := range statuspage.Evaluate(families, statuspage.Extras{}, at).Sections {
		for _, line := range section.Lines {
			for _, alert := range alertsOf(t, section.Name, line) {
				fired[line.Runbook] = true
				sample := expectedSample{alert, 1}
				if !slices.Contains(expected.Expected, sample) {
					expected.Expected = append(expected.Expected, sample)
				}
			}
		}
	}
	test.Expressions = []promtoolExpr{expected}
	return test
}

// untold are the alerts that the page cannot tell from one look, or does not.
var untold = map[string]string{
	"Watchdog":                        "says nothing of the host",
	"MoodleExporterDown":              "the page is the exporter's own",
	"MoodleExporterAbsent":            "the page is the exporter's own",
	"MoodleAlertDeliveryFailing":      "is about Alertmanager",
	"MoodleMaintenanceActive":         "is not mailed; the page says closed by a job",
	"MoodleSiteClosed":                "is not mailed",
	"MoodleSiteUnreachable":           "is not mailed",
	"MoodleSiteErrorBudgetBurnFast":   "takes hours to tell",
	"MoodleSiteErrorBudgetBurnSlow":   "takes days to tell",
	"MoodleHostCPUBusy":               "takes two looks to tell",
	"MoodleHostOOMKill":               "takes two looks to tell",
	"MoodleDiskFillingUp":             "takes hours to tell",
	"MoodleDiskInodesFillingUp":       "takes hours to tell",
	"MoodleDiskCannotHoldNextBackup":  "the backup itself refuses, and the page shows the disk",
	"MoodleServiceFlapping":           "takes an hour to tell",
	"MoodleDBRefusingConnections":     "takes two looks to tell",
	"MoodleDBThreadsRunningHigh":      "a moment means nothing",
	"MoodleDBSlowQueries":             "takes two looks to tell",
	"MoodleDBAbortedConnects":         "takes two looks to tell",
	"MoodleCertNotReloaded":           "the page shows file and endpoint with their days",
	"MoodleBackupStuck":               "the page shows the running job and its progress",
	"MoodleBackupShrunk":              "the page shows the size",
	"MoodleBackupDurationGrowing":     "the page shows the duration",
	"MoodleTaskQueueDelayed":          "whether the queue grows takes two looks; the page shows its age",
	"MoodleFPMMaxChildrenReached":     "takes two looks to tell",
	"MoodleRedisEvicting":             "takes two looks to tell; the page shows how many since the start",
	"MoodleRedisRejectingConnections": "takes two looks to tell; the page shows how many since the start",
}

// alsoFire are the alerts that fire beside that of a line, and are inhibited by it in Alertmanager.
var alsoFire = map[string][]string{
	"MoodleCertExpired":        {"MoodleCertExpiresInAWeek", "MoodleCertExpiringSoon"},
	"MoodleCertExpiresInAWeek": {"MoodleCertExpiringSoon"},
	"MoodleDiskSpaceCritical":  {"MoodleDiskSpaceLow"},
}

// subjectLabels are the labels that a line's subject is in an alert.
var subjectLabels = []struct {
	alert *regexp.Regexp
	label string
}{
	{regexp.MustCompile(`^Moodle(Cert|TLS)`), "target"},
	{regexp.MustCompile(`^MoodleDisk`), "mountpoint"},
	{regexp.MustCompile(`^MoodleServiceDown$`), "unit"},
	{regexp.MustCompile(`^MoodleCollectorFailing$`), "collector"},
	{regexp.MustCompile(`^MoodleBackupTooOld$`), "component"},
}

// alertsOf are the alerts that fire where the report has the line.
func alertsOf(t *testing.T, section string, line statuspage.Line) []string {
	t.Helper()
	names := append([]string{line.Runbook}, alsoFire[line.Runbook]...)
	switch {
	case line.Runbook == "", section == "Jobs" && line.Runbook == "MoodleRestoreDrillFailed": // told among the backups
		return nil
	case line.Runbook == "MoodleMaintenanceActive": // which mutes it in Alertmanager
		names = []string{"MoodleWebProbeFailing"}
	case line.Runbook == "MoodleFPMQueueing" && line.Level == statuspage.Critical && strings.Contains(line.Value, "at most"):
		names = append(names, "MoodleFPMSaturated")
	}
	labels := []string{}
	if line.Site != "" {
		labels = append(labels, fmt.Sprintf("site=%q", line.Site))
	}
	subject := strings.TrimPrefix(strings.Replace(line.Subject, "complete backup", "all", 1), "collector ")
	for _, s := range subjectLabels {
		if s.alert.MatchString(line.Runbook) {
			labels = append(labels, fmt.Sprintf("%s=%q", s.label, subject))
		}
	}
	severities := severities(t)
	var found []string
	for _, name := range names {
		// A queue of a moment is a warning on the page, one of minutes is critical; all else is the same.
		if name == line.Runbook && severities[name] != line.Level.String() && name != "MoodleFPMQueueing" {
			t.Errorf("%s %s is %s, and %s is %s", section, line.Subject, line.Level, name, severities[name])
		}
		all := append(slices.Clone(labels), fmt.Sprintf("alertname=%q", name), fmt.Sprintf("severity=%q", severities[name]))
		found = append(found, "{"+strings.Join(all, ",")+"}")
	}
	return found
}

var alertSeverity = regexp.MustCompile(`(?s)- alert: (\w+)\n.*?severity: (\w+)`)

// severities are those of the shipped rules.
func severities(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	paths, err := fs.Glob(alerts.Files(), "rules/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range paths {
		text, err := fs.ReadFile(alerts.Files(), p)
		if err != nil {
			t.Fatal(err)
		}
		for _, rule := range alertSeverity.FindAllStringSubmatch(string(text), -1) {
			found[rule[1]] = rule[2]
		}
	}
	return found
}
