package alerts_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// mutant is a rule that is wrong in one place.
type mutant struct {
	change string
	rule   rule
}

// TestMutantsAreFound breaks each rule in one place after another: some promtool test must fail.
// A mutant that none finds is something the tests do not pin.
func TestMutantsAreFound(t *testing.T) {
	t.Parallel()
	stand.Need(t, stand.Prometheus)
	for name, file := range ruleFiles(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if out, ok := testMutant(t, name, file); !ok {
				t.Fatalf("the rules fail unchanged: %s", out)
			}
			for g, group := range file.Groups {
				for i, original := range group.Rules {
					for _, m := range mutants(original) {
						group.Rules[i] = m.rule
						file.Groups[g] = group
						if _, ok := testMutant(t, name, file); ok {
							t.Errorf("%s: no test fails with %s", original.Alert, m.change)
						}
					}
					group.Rules[i] = original
				}
			}
		})
	}
}

// testMutant runs the test file of that name against the given rules.
func testMutant(t *testing.T, name string, file ruleFile) (output string, succeeded bool) {
	t.Helper()
	dir := t.TempDir()
	rules, err := yaml.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile(filepath.Join("tests", name))
	if err != nil {
		t.Fatal(err)
	}
	for sub, content := range map[string][]byte{"rules": rules, "tests": tests} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, sub, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return runTool(t, dir, "promtool", "test", "rules", filepath.Join("tests", name))
}

// replacements are what a part of an expression is mutated into.
var replacements = []struct {
	change string
	part   *regexp.Regexp
	into   func(part string) []string
}{
	{"a comparison turned", regexp.MustCompile(`\s(==|!=|<=|>=|<|>)\s`), swap(map[string]string{
		"==": "!=", "!=": "==", "<": ">=", ">": "<=", "<=": ">", ">=": "<",
	})},
	{"a set operation exchanged", regexp.MustCompile(`\s(and|unless|or)\s`), swap(map[string]string{
		"and": "unless", "unless": "and", "or": "unless",
	})},
	{"a window removed", regexp.MustCompile(`\b(last|max|min)_over_time\([^\[]*\[[^\]]*\]\)`), func(part string) []string {
		_, inner, _ := strings.Cut(part, "(")
		return []string{inner[:strings.LastIndex(inner, "[")]}
	}},
	{"a label selector removed", regexp.MustCompile(`\{[^}]*\}`), func(string) []string { return []string{""} }},
	{"a label dropped from a join", onLabels, withoutOne},
}

func swap(by map[string]string) func(string) []string {
	return func(part string) []string {
		operator := strings.TrimSpace(part)
		return []string{strings.Replace(part, operator, by[operator], 1)}
	}
}

func withoutOne(on string) []string {
	labels := strings.Split(onLabels.FindStringSubmatch(on)[1], ", ")
	var without []string
	for i := range labels {
		rest := append(append([]string{}, labels[:i]...), labels[i+1:]...)
		without = append(without, "on ("+strings.Join(rest, ", ")+")")
	}
	return without
}

func mutants(r rule) []mutant {
	var found []mutant
	add := func(change string, edit func(*rule)) {
		m := r
		edit(&m)
		found = append(found, mutant{change, m})
	}
	add("an expression that never fires", func(m *rule) { m.Expr = "vector(0) > 1" })
	if r.Alert != "Watchdog" {
		add("an expression that always fires", func(m *rule) { m.Expr = "vector(1)" })
	}
	if r.For != "" {
		add("for removed", func(m *rule) { m.For = "" })
	}
	if r.KeepFiringFor != "" {
		add("keep_firing_for removed", func(m *rule) { m.KeepFiringFor = "" })
	}
	for _, kind := range replacements {
		for _, at := range kind.part.FindAllStringIndex(r.Expr, -1) {
			part := r.Expr[at[0]:at[1]]
			for _, into := range kind.into(part) {
				add(fmt.Sprintf("%s: %q instead of %q", kind.change, into, part), func(m *rule) {
					m.Expr = r.Expr[:at[0]] + into + r.Expr[at[1]:]
				})
			}
		}
	}
	return found
}
