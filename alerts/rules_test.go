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
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/moodle-exporter/moodle-exporter/alerts"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// rule is an alerting rule as Prometheus reads it.
type rule struct {
	Record        string            `yaml:"record,omitempty"`
	Alert         string            `yaml:"alert,omitempty"`
	Expr          string            `yaml:"expr"`
	For           string            `yaml:"for,omitempty"`
	KeepFiringFor string            `yaml:"keep_firing_for,omitempty"`
	Labels        map[string]string `yaml:"labels,omitempty"`
	Annotations   map[string]string `yaml:"annotations,omitempty"`
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
				if r.Alert == "" {
					continue
				}
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
		for label, value := range r.Labels {
			if label != "severity" && (label != "muted_by_maintenance" || value != "true") {
				t.Errorf("%s: label %s=%q; no route or inhibition uses it", name, label, value)
			}
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
		// Those that are about no host borrow the link of any exporter, or name the usual one.
		if !slices.Contains([]string{"Watchdog", "MoodleExporterAbsent", "MoodleAlertDeliveryFailing"}, name) && !strings.HasPrefix(r.Annotations["runbook_url"], "http://{{ $labels.instance }}/") {
			t.Errorf("%s: the runbook is served by the alert's own exporter, not by %q", name, r.Annotations["runbook_url"])
		}
	}
}

// contractMetrics returns the labels of every metric the exporter may serve, by name.
func contractMetrics(t *testing.T) map[string][]string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "test", "host", "testdata", "contract.txt"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]string{}
	for line := range strings.Lines(string(content)) {
		fields := strings.Fields(line)
		if len(fields) != 4 || fields[0] == "#" {
			continue
		}
		labels := []string{"job", "instance"}
		if fields[2] != "-" {
			labels = append(labels, strings.Split(fields[2], ",")...)
		}
		found["moodle_"+fields[0]] = labels
	}
	return found
}

var (
	matcher  = regexp.MustCompile(`([a-z_]+)(?:=~|!~|!=|=)"([^"]*)"`)
	labelUse = regexp.MustCompile(`\$labels\.([a-z_]+)`)
	onLabels = regexp.MustCompile(`\bon \(([^)]*)\)`)
)

// A rule about a metric, a label or a threshold that does not exist never fires, silently.
func TestRulesUseWhatTheExporterServes(t *testing.T) {
	metrics := contractMetrics(t)
	for _, file := range ruleFiles(t) {
		for _, group := range file.Groups {
			for _, r := range group.Rules {
				usesKnown(t, r, metrics)
			}
		}
	}
}

func usesKnown(t *testing.T, r rule, metrics map[string][]string) {
	t.Helper()
	name := r.Alert + r.Record
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(r.Expr)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	known := []string{"job", "instance"}
	parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
		use, isSelector := node.(*parser.VectorSelector)
		if !isSelector || strings.Contains(use.Name, ":") {
			return nil
		}
		labels, exists := metrics[use.Name]
		if !exists {
			if labels, exists = foreignMetrics[use.Name]; !exists {
				t.Errorf("%s: metric %s is not in the contract", name, use.Name)
			}
		}
		known = append(known, labels...)
		for _, m := range use.LabelMatchers {
			if m.Name != "__name__" && !slices.Contains(labels, m.Name) {
				t.Errorf("%s: %s has no label %s", name, use.Name, m.Name)
			}
			if use.Name == "moodle_threshold" && m.Name == "name" {
				if _, exists := config.DefaultThresholds[m.Value]; !exists {
					t.Errorf("%s: the exporter has no threshold %s", name, m.Value)
				}
			}
		}
		return nil
	})
	if strings.Contains(r.Expr, "site:moodle_") || strings.Contains(r.Expr, "site_target:moodle_") {
		known = append(known, "site", "target")
	}
	for _, on := range onLabels.FindAllStringSubmatch(r.Expr, -1) {
		for _, label := range strings.Split(on[1], ", ") {
			if label != "" && !slices.Contains(known, label) {
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
}

// A join between series of a site that leaves out the site lets two sites of one host silence each other, or ends in
// an error. One side of a join that leaves it out has to be about the host, a server or a unit.
func TestJoinsNameTheSite(t *testing.T) {
	metrics := contractMetrics(t)
	ofSite := func(expr parser.Expr) bool {
		found := false
		parser.Inspect(expr, func(node parser.Node, path []parser.Node) error {
			if use, is := node.(*parser.VectorSelector); is && !strings.Contains(use.String(), `site=""`) {
				found = found || slices.Contains(metrics[use.Name], "site") || strings.HasPrefix(use.Name, "site")
			}
			return nil
		})
		if sum, is := expr.(*parser.ParenExpr); is {
			expr = sum.Expr
		}
		if product, is := expr.(*parser.BinaryExpr); is {
			expr = product.RHS
		}
		// What is summed up over the sites of a host belongs to the host.
		if sum, is := expr.(*parser.AggregateExpr); is && !slices.Contains(sum.Grouping, "site") {
			return false
		}
		return found
	}
	for _, file := range ruleFiles(t) {
		for _, r := range file.Groups[0].Rules {
			expr, err := parser.NewParser(parser.Options{}).ParseExpr(r.Expr)
			if err != nil {
				t.Fatal(err)
			}
			parser.Inspect(expr, func(node parser.Node, _ []parser.Node) error {
				join, is := node.(*parser.BinaryExpr)
				if !is || join.VectorMatching == nil || !join.VectorMatching.On {
					return nil
				}
				labels := join.VectorMatching.MatchingLabels
				if len(labels) > 0 && (!slices.Contains(labels, "job") || !slices.Contains(labels, "instance")) {
					t.Errorf("%s%s: on %q joins one exporter with another", r.Alert, r.Record, labels)
				}
				if ofSite(join.LHS) && ofSite(join.RHS) && !slices.Contains(labels, "site") {
					t.Errorf("%s%s: on %q joins one site with another", r.Alert, r.Record, labels)
				}
				return nil
			})
		}
	}
}
