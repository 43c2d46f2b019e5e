package dashboards_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/moodle-exporter/moodle-exporter/alerts"
)

// metric is one of the contract.
type metric struct {
	counter bool
	labels  []string
}

func contract(t *testing.T) map[string]metric {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "test", "host", "testdata", "contract.txt"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]metric{}
	for line := range strings.Lines(string(content)) {
		fields := strings.Fields(line)
		if len(fields) == 4 && fields[0] != "#" {
			found["moodle_"+fields[0]] = metric{fields[1] == "counter", append([]string{"job", "instance"}, strings.Split(fields[2], ",")...)}
		}
	}
	return found
}

// others are metrics that are not the exporter's own, with their labels.
var others = map[string]metric{
	"ALERTS": {labels: []string{"job", "instance", "alertname", "alertstate", "severity"}},
	"alertmanager_notifications_failed_total": {counter: true},
}

// parse reads a query as Prometheus gets it, once Grafana has put its variables in.
func parse(t *testing.T, expr string) parser.Expr {
	t.Helper()
	expr = strings.NewReplacer("$__rate_interval", "5m", "$job", ".+", "$instance", ".+", "$site", ".+").Replace(expr)
	parsed, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	return parsed
}

var (
	legendLabel = regexp.MustCompile(`\{\{([a-z_]+)\}\}`)
	recordName  = regexp.MustCompile(`(?m)record: (\S+)`)
)

func records(t *testing.T) string {
	t.Helper()
	var all []string
	paths, err := fs.Glob(alerts.Files(), "rules/*.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		content, err := fs.ReadFile(alerts.Files(), path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, string(content))
	}
	return strings.Join(all, "\n")
}

func TestQueriesAskForWhatThereIs(t *testing.T) {
	metrics := contract(t)
	var recorded []string
	for _, record := range recordName.FindAllStringSubmatch(records(t), -1) {
		recorded = append(recorded, record[1])
	}
	for name, b := range boards(t) {
		for _, q := range queries(b) {
			parser.Inspect(parse(t, q.expr), func(node parser.Node, path []parser.Node) error {
				use, is := node.(*parser.VectorSelector)
				if !is {
					return nil
				}
				m, known := metrics[use.Name]
				if !known {
					if m, known = others[use.Name]; !known && slices.Contains(recorded, use.Name) {
						m, known = metric{labels: []string{"job", "instance", "site"}}, true
					}
				}
				if !known {
					t.Errorf("%s, %s: there is no metric %s", name, q.where, use.Name)
				}
				matched := map[string]bool{}
				for _, matcher := range use.LabelMatchers {
					matched[matcher.Name] = true
					if matcher.Name != "__name__" && !slices.Contains(m.labels, matcher.Name) {
						t.Errorf("%s, %s: %s has no label %s", name, q.where, use.Name, matcher.Name)
					}
				}
				if slices.Contains(m.labels, "job") && (!matched["job"] || !matched["instance"]) {
					t.Errorf("%s, %s: %s of all hosts, not of those chosen", name, q.where, use.Name)
				}
				rated := slices.ContainsFunc(path, func(n parser.Node) bool {
					call, is := n.(*parser.Call)
					return is && (call.Func.Name == "rate" || call.Func.Name == "increase")
				})
				if rated != m.counter {
					t.Errorf("%s, %s: %s is a counter: %v, and its rate is taken: %v", name, q.where, use.Name, m.counter, rated)
				}
				return nil
			})
		}
	}
}

// A label that a series does not have is an empty place in its legend.
func TestLegendsNameLabelsThatExist(t *testing.T) {
	metrics := contract(t)
	for name, b := range boards(t) {
		for _, p := range b.Panels {
			for _, target := range p.Targets {
				known := []string{"job", "instance"}
				parser.Inspect(parse(t, target.Expr), func(node parser.Node, _ []parser.Node) error {
					if use, is := node.(*parser.VectorSelector); is {
						known = append(known, metrics[use.Name].labels...)
						if strings.HasPrefix(use.Name, "site:") {
							known = append(known, "site")
						}
					}
					return nil
				})
				for _, label := range legendLabel.FindAllStringSubmatch(target.LegendFormat, -1) {
					if !slices.Contains(known, label[1]) {
						t.Errorf("%s, panel %q: the series have no label %s", name, p.Title, label[1])
					}
				}
			}
		}
	}
}

// unused are the metrics that neither a rule nor a panel uses, and why.
var unused = map[string]string{
	"moodle_secrets_exposed": "nothing happens to a site while it waits: status names the files and the commands that close them",
}

func TestEveryMetricIsUsed(t *testing.T) {
	text := records(t)
	for _, b := range boards(t) {
		for _, q := range queries(b) {
			text += "\n" + q.expr
		}
	}
	for name := range contract(t) {
		isUsed := regexp.MustCompile(`\b` + name + `\b`).MatchString(text)
		if why, listed := unused[name]; isUsed == listed {
			t.Errorf("%s is used: %v; listed as unused: %q", name, isUsed, why)
		}
	}
}
