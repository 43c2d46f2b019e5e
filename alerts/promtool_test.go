package alerts_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// writtenTests are the test files in tests/, each of which names the one rule file that it is about. They hold what
// the situations do not: onsets, gaps of other shapes, restarts, texts that change.
func writtenTests(t *testing.T) map[string]promFile {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("tests", "*.yml"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no test files: %v", err)
	}
	found := map[string]promFile{}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var file promFile
		if err := yaml.UnmarshalWithOptions(content, &file, yaml.Strict()); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if len(file.RuleFiles) != 1 {
			t.Errorf("%s is about %q, want one file", path, file.RuleFiles)
		}
		found[path] = file
	}
	return found
}

// alertCases returns the expectations of all tests, by alert.
func alertCases(t *testing.T) map[string][]promCase {
	t.Helper()
	found := map[string][]promCase{}
	add := func(tests []promTest) {
		for _, test := range tests {
			for _, c := range test.Cases {
				found[c.Alert] = append(found[c.Alert], c)
			}
		}
	}
	for _, file := range writtenTests(t) {
		add(file.Tests)
	}
	shown := firing(t)
	for _, s := range situations() {
		add(s.tests(t, shown))
	}
	return found
}

func TestRulesBehave(t *testing.T) {
	t.Parallel()
	stand.Need(t, stand.Prometheus)
	args := []string{"test", "rules"}
	for path := range writtenTests(t) {
		args = append(args, path)
	}
	slices.Sort(args[2:])
	if out, ok := runTool(t, ".", "promtool", args...); !ok {
		t.Error(failuresOf(out))
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
