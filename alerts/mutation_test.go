package alerts_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// mutant is a rule that is wrong in one place, and where it stands.
type mutant struct {
	change string
	rule   rule
	file   ruleFile   // with the mutant, the records of its file, and no other alert
	first  []promFile // the tests that find most
	others []promFile
}

// TestMutantsAreFound breaks each rule in one place after another: some promtool test must fail.
// A mutant that none finds is something the tests do not pin.
func TestMutantsAreFound(t *testing.T) {
	t.Parallel()
	stand.Need(t, stand.Prometheus)
	var all []mutant
	written, shown := writtenTests(t), firing(t)
	for name, file := range ruleFiles(t) {
		for _, group := range file.Groups {
			for i, r := range group.Rules {
				for _, m := range mutants(r) {
					m.file = mutated(group, i, m.rule)
					m.first, m.others = testsOf(t, name, r, group, written, shown)
					all = append(all, m)
				}
			}
		}
	}
	if os.Getenv("PROOF") != "full" {
		all = share(all)
	}
	t.Logf("%d mutants", len(all))
	const batch = 40
	var running sync.WaitGroup
	slots := make(chan struct{}, runtime.NumCPU())
	for start := 0; start < len(all); start += batch {
		part := all[start:min(start+batch, len(all))]
		running.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			alive := survivors(t, part, func(m mutant) []promFile { return m.first })
			for _, survivor := range survivors(t, alive, func(m mutant) []promFile { return m.others }) {
				t.Errorf("%s%s: no test fails with %s", survivor.rule.Alert, survivor.rule.Record, survivor.change)
			}
		})
	}
	running.Wait()
}

// everyNth mutant is tried by a usual run, one of each kind of each rule by turns; a full proof tries them all.
const everyNth = 4

func share(all []mutant) (some []mutant) {
	slices.SortStableFunc(all, func(a, b mutant) int {
		return strings.Compare(a.rule.Alert+a.rule.Record+a.change, b.rule.Alert+b.rule.Record+b.change)
	})
	for i := 0; i < len(all); i += everyNth {
		some = append(some, all[i])
	}
	return some
}

// mutated is the group with the rule in the place of number i. Of the other rules only records stay, which it may use;
// where a record is the mutant, the alerts that may use it stay.
func mutated(group ruleGroup, i int, m rule) ruleFile {
	rules := []rule{}
	for j, r := range group.Rules {
		switch {
		case j == i:
			rules = append(rules, m)
		case r.Record != "" || m.Record != "":
			rules = append(rules, r)
		}
	}
	return ruleFile{Groups: []ruleGroup{{Name: group.Name, Rules: rules}}}
}

// testsOf are the tests that say something of the rule: of an alert those that name it, of a record those of the alerts
// that use it.
func testsOf(t *testing.T, name string, r rule, group ruleGroup, written map[string]promFile, shown map[string]promAlert) (first, others []promFile) {
	t.Helper()
	about := map[string]bool{r.Alert: true}
	for _, user := range group.Rules {
		if r.Record != "" && strings.Contains(user.Expr, r.Record) {
			about[user.Alert] = true
		}
	}
	for _, s := range situationsOf(t, name) {
		if about[s.alert] {
			tests := s.tests(t, shown)
			one := func(tests []promTest) promFile {
				return promFile{RuleFiles: []string{"rules.yml"}, Evaluation: s.interval(), Tests: tests}
			}
			first, others = append(first, one(tests[:1])), append(others, one(tests[1:]))
		}
	}
	for _, file := range written {
		if part := file.about(about); filepath.Base(file.RuleFiles[0]) == name && len(part.Tests) > 0 {
			others = append(others, part)
		}
	}
	return first, others
}

// about is the file with nothing but the expectations of the named alerts.
func (f promFile) about(alerts map[string]bool) promFile {
	part := promFile{RuleFiles: []string{"rules.yml"}, Evaluation: f.Evaluation}
	for _, test := range f.Tests {
		kept := promTest{Name: test.Name, Interval: test.Interval, Series: test.Series}
		for _, c := range test.Cases {
			if alerts[c.Alert] {
				kept.Cases = append(kept.Cases, c)
			}
		}
		for _, e := range test.Expressions {
			for alert := range alerts {
				if strings.Contains(e.Expr, strconv.Quote(alert)) {
					kept.Expressions = append(kept.Expressions, e)
				}
			}
		}
		if len(kept.Cases)+len(kept.Expressions) > 0 {
			part.Tests = append(part.Tests, kept)
		}
	}
	return part
}

// survivors are those of the mutants that every one of the tests passes with.
func survivors(t *testing.T, part []mutant, tests func(mutant) []promFile) []mutant {
	t.Helper()
	dir := t.TempDir()
	args := []string{"test", "rules"}
	for i, m := range part {
		sub := fmt.Sprintf("m%03d", i)
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Error(err)
			return nil
		}
		writeYAML(t, filepath.Join(dir, sub), "rules.yml", m.file)
		for j, file := range tests(m) {
			args = append(args, filepath.Join(sub, writeYAML(t, filepath.Join(dir, sub), fmt.Sprintf("test%d.yml", j), file)))
		}
	}
	if len(args) == 2 {
		return part
	}
	out, _ := runTool(t, dir, "promtool", args...)
	found := map[string]bool{}
	for report := range strings.SplitSeq(out, "Unit Testing:") {
		if sub, _, named := strings.Cut(strings.TrimSpace(report), "/"); named && strings.Contains(report, "FAILED") {
			found[sub] = true
		}
	}
	var alive []mutant
	for i, m := range part {
		if !found[fmt.Sprintf("m%03d", i)] {
			alive = append(alive, m)
		}
	}
	return alive
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
	{"a window removed", regexp.MustCompile(`\b(last|max|min)_over_time\([^\[]*\[[^\]]*\]( offset [0-9a-z]+)?\)`), func(part string) []string {
		_, inner, _ := strings.Cut(part, "(")
		metric, offset, _ := strings.Cut(strings.TrimSuffix(inner, ")"), "[")
		_, offset, _ = strings.Cut(offset, "]")
		return []string{metric + offset}
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
	if len(labels) == 1 {
		return nil
	}
	var without []string
	for i := range labels {
		rest := slices.Delete(slices.Clone(labels), i, i+1)
		without = append(without, "on ("+strings.Join(rest, ", ")+")")
	}
	return without
}

func mutants(r rule) []mutant {
	var found []mutant
	add := func(change string, edit func(*rule)) {
		m := r
		edit(&m)
		found = append(found, mutant{change: change, rule: m})
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
