package alerts_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// promFile is a file of promtool's tests.
type promFile struct {
	RuleFiles  []string   `yaml:"rule_files"`
	Evaluation string     `yaml:"evaluation_interval"`
	Tests      []promTest `yaml:"tests"`
}

type promTest struct {
	Name     string       `yaml:"name,omitempty"`
	Interval string       `yaml:"interval"`
	Series   []promSeries `yaml:"input_series"`
	Cases    []promCase   `yaml:"alert_rule_test,omitempty"`

	Expressions []promExpression `yaml:"promql_expr_test,omitempty"`
}

type promExpression struct {
	Expr     string       `yaml:"expr"`
	At       string       `yaml:"eval_time"`
	Expected []promSample `yaml:"exp_samples"`
}

type promSample struct {
	Labels string  `yaml:"labels"`
	Value  float64 `yaml:"value"`
}

type promCase struct {
	Alert    string      `yaml:"alertname"`
	At       string      `yaml:"eval_time"`
	Expected []promAlert `yaml:"exp_alerts"`
}

type promAlert struct {
	Labels      map[string]string `yaml:"exp_labels"`
	Annotations map[string]string `yaml:"exp_annotations"`
}

// firing is what each situation's alert looks like to whoever gets it: its labels and its texts. The file is
// to be read by people, as a mail is.
func firing(t *testing.T) map[string]promAlert {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", "firing.yml"))
	if err != nil {
		t.Fatal(err)
	}
	var alerts map[string]promAlert
	if err := yaml.UnmarshalWithOptions(content, &alerts, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	return alerts
}

func (s situation) title() string { return strings.TrimSpace(s.alert + " " + s.name) }

// tests are those of one situation: lms is well, and then it is not.
func (s situation) tests(t *testing.T, shown map[string]promAlert) []promTest {
	t.Helper()
	lms, known := shown[s.title()]
	if !known {
		t.Errorf("testdata/firing.yml does not tell what %q looks like", s.title())
	}
	nothing := func(at string) promCase { return promCase{s.alert, at, []promAlert{}} }
	fires := func(at string) promCase { return promCase{s.alert, at, []promAlert{lms}} }

	well := func(_ int, c condition) string { return c.good }
	bad := func(_ int, c condition) string { return c.bad }
	broken := promTest{Name: s.title(), Interval: s.interval(), Series: s.meeting(t, bad), Cases: []promCase{fires(s.fires)}}
	for _, at := range s.silent {
		broken.Cases = append(broken.Cases, nothing(at))
	}
	calm := promTest{Name: s.title() + ", all is well", Interval: s.interval(), Series: s.meeting(t, well), Cases: []promCase{nothing(s.fires)}}
	tests := []promTest{broken, calm}
	if s.still != "" {
		ending := func(i int, c condition) string {
			if i == 0 && s.ending != "" {
				return s.ending
			}
			return c.bad
		}
		count := `count(ALERTS{alertname="` + s.alert + `", alertstate="firing"})`
		tests = append(tests, promTest{
			Name: s.title() + ", its end", Interval: s.interval(), Series: s.meeting(t, ending),
			Expressions: []promExpression{{count, s.still, []promSample{{"{}", 1}}}, {count, s.over, []promSample{}}},
		})
	}
	return tests
}

func TestSituations(t *testing.T) {
	t.Parallel()
	stand.Need(t, stand.Prometheus)
	dir := t.TempDir()
	shown := firing(t)
	var args []string
	for name := range ruleFiles(t) {
		rules, err := os.ReadFile(filepath.Join("rules", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range situationsOf(t, name) {
			file := promFile{RuleFiles: []string{name}, Evaluation: s.interval(), Tests: s.tests(t, shown)}
			args = append(args, writeYAML(t, dir, "test-"+strings.ReplaceAll(s.title(), " ", "-")+".yml", file))
		}
		if err := os.WriteFile(filepath.Join(dir, name), rules, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if out, ok := runTool(t, dir, "promtool", append([]string{"test", "rules"}, args...)...); !ok {
		t.Error(failuresOf(out))
	}
}

// situationsOf are those of the alerts in a rule file.
func situationsOf(t *testing.T, name string) []situation {
	t.Helper()
	var found []situation
	for _, group := range ruleFiles(t)[name].Groups {
		for _, r := range group.Rules {
			for _, s := range situations() {
				if r.Alert == s.alert {
					found = append(found, s)
				}
			}
		}
	}
	return found
}

func writeYAML(t *testing.T, dir, name string, content any) string {
	t.Helper()
	text, err := yaml.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// failuresOf is what promtool says of the files that failed.
func failuresOf(output string) string {
	var failed []string
	for part := range strings.SplitSeq(output, "Unit Testing:") {
		if strings.Contains(part, "FAILED") {
			failed = append(failed, part)
		}
	}
	return strings.Join(failed, "")
}
