package alerts_test

import (
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/moodle-exporter/moodle-exporter/alerts"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// rule is an alerting rule as Prometheus reads it.
type rule struct {
	Alert         string            `yaml:"alert"`
	Expr          string            `yaml:"expr"`
	For           string            `yaml:"for,omitempty"`
	KeepFiringFor string            `yaml:"keep_firing_for,omitempty"`
	Labels        map[string]string `yaml:"labels"`
	Annotations   map[string]string `yaml:"annotations"`
}

type ruleGroup struct {
	Name  string `yaml:"name"`
	Rules []rule `yaml:"rules"`
}

type ruleFile struct {
	Groups []ruleGroup `yaml:"groups"`
}

// ruleFiles returns the shipped rule files by their base name.
func ruleFiles(t *testing.T) map[string]ruleFile {
	t.Helper()
	paths, err := fs.Glob(alerts.Files(), "rules/*.yml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no rule files: %v", err)
	}
	found := map[string]ruleFile{}
	for _, path := range paths {
		content, err := fs.ReadFile(alerts.Files(), path)
		if err != nil {
			t.Fatal(err)
		}
		var f ruleFile
		if err := yaml.UnmarshalWithOptions(content, &f, yaml.Strict()); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		found[filepath.Base(path)] = f
	}
	return found
}

func allRules(t *testing.T) map[string]rule {
	t.Helper()
	found := map[string]rule{}
	for name, file := range ruleFiles(t) {
		for _, group := range file.Groups {
			for _, r := range group.Rules {
				if _, twice := found[r.Alert]; twice {
					t.Errorf("%s: alert %s is defined twice", name, r.Alert)
				}
				found[r.Alert] = r
			}
		}
	}
	return found
}

// runTool runs a program in dir and returns its output and whether it succeeded.
func runTool(t *testing.T, dir, name string, args ...string) (output string, succeeded bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if _, isExit := err.(*exec.ExitError); err != nil && !isExit { //nolint:errorlint // Run returns it unwrapped
		t.Fatalf("run %s: %v", name, err)
	}
	return string(out), err == nil
}

func TestRulesAreValid(t *testing.T) {
	stand.Need(t, stand.Prometheus)
	args := []string{"check", "rules", "--lint=all", "--lint-fatal"}
	for name := range ruleFiles(t) {
		args = append(args, filepath.Join("rules", name))
	}
	if out, ok := runTool(t, ".", "promtool", args...); !ok {
		t.Error(out)
	}
}

var alertName = regexp.MustCompile(`^(Watchdog|Moodle[A-Z][A-Za-z]+)$`)

// Every alert says what happened, where, and what to do.
func TestAlertsExplainThemselves(t *testing.T) {
	severities := []string{"critical", "warning", "info", "none"}
	for name, r := range allRules(t) {
		if !alertName.MatchString(name) {
			t.Errorf("%s: not MoodleThingCondition in CamelCase", name)
		}
		if !slices.Contains(severities, r.Labels["severity"]) {
			t.Errorf("%s: severity %q is none of %q", name, r.Labels["severity"], severities)
		}
		if len(r.Labels) != 1 {
			t.Errorf("%s: labels %v; no route or inhibition uses more than the severity yet", name, r.Labels)
		}
		if r.Annotations["summary"] == "" || strings.Contains(r.Annotations["summary"], "$value") {
			t.Errorf("%s: the summary is a mail's subject: it is there and does not change with the value", name)
		}
		if strings.Count(r.Annotations["description"], ". ")+1 < 2 {
			t.Errorf("%s: the description says what happened, what it means and what to do", name)
		}
		if !strings.HasSuffix(r.Annotations["runbook_url"], "/runbooks/"+name) {
			t.Errorf("%s: runbook_url is %q", name, r.Annotations["runbook_url"])
		}
		if name != "Watchdog" && !strings.HasPrefix(r.Annotations["runbook_url"], "http://{{ $labels.instance }}/") {
			t.Errorf("%s: the runbook is served by the alert's own exporter, not by %q", name, r.Annotations["runbook_url"])
		}
	}
}

// contractMetrics returns the labels of every metric the exporter may serve, by name.
func contractMetrics(t *testing.T) map[string][]string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "metrics.txt"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for line := range strings.Lines(string(content)) {
		name, labels, _ := strings.Cut(strings.TrimSpace(line), " ")
		found[name] = append([]string{"job", "instance"}, strings.Split(labels, ",")...)
	}
	return found
}

var (
	selector   = regexp.MustCompile(`\b(moodle_[a-z0-9_]+)(\{[^}]*\})?`)
	matcher    = regexp.MustCompile(`([a-z_]+)(?:=~|!~|!=|=)"([^"]*)"`)
	labelUse   = regexp.MustCompile(`\$labels\.([a-z_]+)`)
	onLabels   = regexp.MustCompile(`\bon \(([^)]*)\)`)
	thresholds = regexp.MustCompile(`moodle_threshold\{name="([^"]*)"\}`)
)

// A rule about a metric, a label or a threshold that does not exist never fires, silently.
func TestRulesUseWhatTheExporterServes(t *testing.T) {
	metrics := contractMetrics(t)
	for name, r := range allRules(t) {
		var known []string
		for _, use := range selector.FindAllStringSubmatch(r.Expr, -1) {
			labels, exists := metrics[use[1]]
			if !exists {
				t.Errorf("%s: metric %s is not in the contract", name, use[1])
			}
			for _, m := range matcher.FindAllStringSubmatch(use[2], -1) {
				if !slices.Contains(labels, m[1]) {
					t.Errorf("%s: %s has no label %s", name, use[1], m[1])
				}
			}
			known = append(known, labels...)
		}
		for _, on := range onLabels.FindAllStringSubmatch(r.Expr, -1) {
			for _, label := range strings.Split(on[1], ", ") {
				if !slices.Contains(known, label) {
					t.Errorf("%s: on (%s): no metric of the rule has the label %s", name, on[1], label)
				}
			}
		}
		for _, text := range slices.Sorted(maps.Values(r.Annotations)) {
			for _, use := range labelUse.FindAllStringSubmatch(text, -1) {
				if !slices.Contains(known, use[1]) {
					t.Errorf("%s: no metric of the rule has the label %s", name, use[1])
				}
			}
		}
		for _, use := range thresholds.FindAllStringSubmatch(r.Expr, -1) {
			if _, exists := config.DefaultThresholds[use[1]]; !exists {
				t.Errorf("%s: the exporter has no threshold %s", name, use[1])
			}
		}
	}
}

// A join between series of a site that leaves out the site lets two sites of one host silence
// each other, or ends in an error.
func TestJoinsNameTheSite(t *testing.T) {
	for name, r := range allRules(t) {
		for _, on := range onLabels.FindAllStringSubmatchIndex(r.Expr, -1) {
			labels := r.Expr[on[2]:on[3]]
			if !strings.HasPrefix(labels, "job, instance") {
				t.Errorf("%s: on (%s) joins one exporter with another", name, labels)
			}
			// Thresholds belong to the exporter, not to a site: only they are joined by group_left ().
			joinsThreshold := strings.HasPrefix(r.Expr[on[1]:], " group_left ()")
			if strings.Contains(r.Expr, "moodle_backup_") && !joinsThreshold && !strings.Contains(labels, "site") {
				t.Errorf("%s: on (%s) joins one site with another", name, labels)
			}
		}
	}
}
