package alerts_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// alertCase is one expectation of a promtool test.
type alertCase struct {
	AlertName string `yaml:"alertname"`
	EvalTime  string `yaml:"eval_time"`
	Expected  []struct {
		Labels map[string]string `yaml:"exp_labels"`
	} `yaml:"exp_alerts"`
}

// alertCases returns the expectations of all test files, by alert.
func alertCases(t *testing.T) map[string][]alertCase {
	t.Helper()
	found := map[string][]alertCase{}
	for name := range ruleFiles(t) {
		content, err := os.ReadFile(filepath.Join("tests", name))
		if err != nil {
			t.Fatalf("every rule file has a test file of its name: %v", err)
		}
		var file struct {
			Tests []struct {
				Cases []alertCase `yaml:"alert_rule_test"`
			} `yaml:"tests"`
		}
		if err := yaml.Unmarshal(content, &file); err != nil {
			t.Fatalf("tests/%s: %v", name, err)
		}
		for _, test := range file.Tests {
			for _, c := range test.Cases {
				found[c.AlertName] = append(found[c.AlertName], c)
			}
		}
	}
	return found
}

func TestRulesBehave(t *testing.T) {
	stand.Need(t, stand.Prometheus)
	args := []string{"test", "rules"}
	for name := range ruleFiles(t) {
		args = append(args, filepath.Join("tests", name))
	}
	if out, ok := runTool(t, ".", "promtool", args...); !ok {
		t.Error(out)
	}
}

// promtool does not say which alerts its tests leave out.
func TestEveryAlertIsTestedBothWays(t *testing.T) {
	rules, cases := allRules(t), alertCases(t)
	for name := range rules {
		var fires, silent bool
		for _, c := range cases[name] {
			fires = fires || len(c.Expected) > 0
			silent = silent || len(c.Expected) == 0
		}
		if !fires {
			t.Errorf("%s: no test in which it fires", name)
		}
		if !silent && name != "Watchdog" {
			t.Errorf("%s: no test in which it stays silent", name)
		}
	}
	for name := range cases {
		if _, exists := rules[name]; !exists {
			t.Errorf("the tests name %s, which is no alert", name)
		}
	}
}
