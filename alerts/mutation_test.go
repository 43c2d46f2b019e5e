package alerts_test

import (
	"fmt"
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

// mutant is a rule that is wrong in one place.
type mutant struct {
	change string
	rule   rule
}

// suspects are the mutants of one rule, and where it stands. They are tried side by side, each under a name of its own.
type suspects struct {
	rule    rule
	group   ruleGroup
	mutants []mutant
	first   []promFile // the tests that find most
	others  []promFile
}

// TestMutantsAreFound breaks each rule in one place after another: some promtool test must fail.
// A mutant that none finds is something the tests do not pin.
func TestMutantsAreFound(t *testing.T) {
	t.Parallel()
	stand.Need(t, stand.Prometheus)
	var all []suspects
	written, shown := writtenTests(t), firing(t)
	number := 0
	for name, file := range ruleFiles(t) {
		for _, group := range file.Groups {
			for _, r := range group.Rules {
				s := suspects{rule: r, group: group, mutants: mutants(r)}
				s.first, s.others = testsOf(t, name, r, group, written, shown)
				all = append(all, s)
				number += len(s.mutants) - 1
			}
		}
	}
	t.Logf("%d mutants of %d rules", number, len(all))
	var running sync.WaitGroup
	slots := make(chan struct{}, runtime.NumCPU())
	for _, s := range all {
		running.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			for _, survivor := range s.survivors(t) {
				t.Errorf("%s%s: no test fails with %s", s.rule.Alert, s.rule.Record, survivor.change)
			}
		})
	}
	running.Wait()
}

// survivors are those of the mutants that every one of the tests passes with.
func (s suspects) survivors(t *testing.T) []mutant {
	alive := make([]int, len(s.mutants))
	for i := range alive {
		alive[i] = i
	}
	for _, files := range [][]promFile{s.first, s.others} {
		for len(files) > 0 && len(alive) > 1 {
			alive, files = s.try(t, alive, files)
		}
	}
	var left []mutant
	for _, i := range alive {
		left = append(left, s.mutants[i])
	}
	if len(left) == 0 || left[0].change != unbroken {
		t.Errorf("%s%s: a test fails although nothing is broken", s.rule.Alert, s.rule.Record)
		return left
	}
	return left[1:]
}

// try runs the tests with all mutants that are alive. A rule that gives an error ends the test that it is in: such
// tests have to be run once more, without it.
func (s suspects) try(t *testing.T, alive []int, files []promFile) (still []int, again []promFile) {
	dir := t.TempDir()
	group := ruleGroup{Name: s.group.Name, Rules: s.sideBySide(alive)}
	writeYAML(t, dir, "rules.yml", ruleFile{Groups: []ruleGroup{group}})
	args := []string{"test", "rules"}
	for j, file := range files {
		args = append(args, writeYAML(t, dir, fmt.Sprintf("test%d.yml", j), s.ofEach(alive, file)))
	}
	out, _ := runTool(t, dir, "promtool", args...)
	found := map[string]bool{}
	for report := range strings.SplitSeq(out, "Unit Testing:") {
		title, failures, _ := strings.Cut(report, "FAILED")
		for _, name := range mutantName.FindAllString(failures, -1) {
			found[name] = true
		}
		var j int
		if _, err := fmt.Sscanf(strings.TrimSpace(title), "test%d.yml", &j); err == nil && ruleError.MatchString(failures) {
			again = append(again, files[j])
		}
	}
	for _, i := range alive {
		if !found[suffix(i)] {
			still = append(still, i)
		}
	}
	if len(still) == len(alive) && len(again) > 0 {
		t.Errorf("%s%s: promtool fails without a mutant: %s", s.rule.Alert, s.rule.Record, out)
		again = nil
	}
	return still, again
}

var (
	mutantName = regexp.MustCompile(`_m[0-9]{4}\b`)
	ruleError  = regexp.MustCompile(`(?m)^ +rule: `)
)

// suffix tells what belongs to mutant number i.
func suffix(i int) string { return fmt.Sprintf("_m%04d", i) }

// sideBySide are the mutants that are alive, each with those that use it, and once the other records that these use.
func (s suspects) sideBySide(alive []int) []rule {
	var rules []rule
	for _, r := range s.group.Rules {
		if r.Record != "" && !s.touches(r) && slices.ContainsFunc(s.group.Rules, func(user rule) bool { return s.touches(user) && uses(user, r) }) {
			rules = append(rules, r)
		}
	}
	for _, i := range alive {
		for _, r := range s.group.Rules {
			if !s.touches(r) {
				continue
			}
			if r.Alert == s.rule.Alert && r.Record == s.rule.Record {
				r = s.mutants[i].rule
			}
			r.Expr, r.Alert, r.Record = s.renamed(r.Expr, i), s.renamed(r.Alert, i), s.renamed(r.Record, i)
			rules = append(rules, r)
		}
	}
	return rules
}

// touches says whether the rule is the suspect, or uses it.
func (s suspects) touches(r rule) bool {
	return r.Alert == s.rule.Alert && r.Record == s.rule.Record || uses(r, s.rule)
}

func uses(user, r rule) bool {
	return r.Record != "" && slices.Contains(ruleName.FindAllString(user.Expr, -1), r.Record)
}

// renamed is a text with the names of the rules that there are of each mutant changed into those of mutant i.
func (s suspects) renamed(text string, i int) string {
	return ruleName.ReplaceAllStringFunc(text, func(name string) string {
		for _, r := range s.group.Rules {
			if name == r.Alert+r.Record && s.touches(r) {
				return name + suffix(i)
			}
		}
		return name
	})
}

var ruleName = regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*`)

// ofEach is the file with its expectations of each mutant that is alive.
func (s suspects) ofEach(alive []int, file promFile) promFile {
	file.Tests = slices.Clone(file.Tests)
	for j, test := range file.Tests {
		var cases []promCase
		var expressions []promExpression
		for _, i := range alive {
			for _, c := range test.Cases {
				c.Alert = s.renamed(c.Alert, i)
				cases = append(cases, c)
			}
			for _, e := range test.Expressions {
				e.Expr, e.Expected = s.renamed(e.Expr, i), slices.Clone(e.Expected)
				for k := range e.Expected {
					e.Expected[k].Labels = s.renamed(e.Expected[k].Labels, i)
				}
				expressions = append(expressions, e)
			}
		}
		file.Tests[j].Cases, file.Tests[j].Expressions = cases, expressions
	}
	return file
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

// unbroken is what every test has to pass with, so that no mutant is found by what has nothing to do with it.
const unbroken = "nothing"

func mutants(r rule) []mutant {
	found := []mutant{{unbroken, r}}
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
