package alerts_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
)

// situation is one state of affairs in which an alert has to fire, told by the conditions that have to meet.
// It is tried for lms, a site of the host lms, in the company of others for which all conditions meet but one:
// on the same host, on another host, and under another job of Prometheus. Every third scrape of all is lost.
// Nothing but lms may fire.
type situation struct {
	alert      string
	name       string // where an alert has several situations
	step       string // of scrapes and evaluations; 1m if empty
	conditions []condition
	others     []string // more series, with their values, of which none fires; job and instance may be left out
	shared     []string // labels by which the company must not differ, as what they name counts for the whole host

	silent []string // when nothing fires yet
	fires  string   // when lms fires; a moment at which a scrape was lost
	ending string   // a course of the first condition in which it ends, if not by itself
	still  string   // when lms fires nevertheless, for keep_firing_for
	over   string   // when it does so no more
}

// condition is a series and two courses of it. Fixed labels stand with the series; the others that the metric
// has are added.
type condition struct {
	series    string
	bad, good string // values as in promtool's tests, the last one goes on; an empty course is no series
	pinned    string // a fixed label that the rule selects by: with another value the series counts for nothing
}

// company are the labels of lms itself.
var company = map[string]string{
	"job": "moodle", "instance": "lms:10059", "site": "lms", "server": "db1", "unit": "nginx.service", "mountpoint": "/data", "fstype": "ext4",
	"target": "lms.example.org:443", "pool": "www", "collector": "cpu", "component": "all", "task": "sync", "role": "other", "source": "endpoint", "integration": "email",
}

// foreignMetrics are those that are not the exporter's, with their labels.
var foreignMetrics = map[string][]string{
	"up":                               {"job", "instance"},
	"alertmanager_notifications_total": {"job", "instance", "integration"},
	"alertmanager_notifications_failed_total": {"job", "instance", "integration"},
}

// labelsOf are the labels that a metric has, job and instance among them.
func labelsOf(t *testing.T, metric string) []string {
	t.Helper()
	if labels, foreign := foreignMetrics[metric]; foreign {
		return labels
	}
	labels, known := contractMetrics(t)[metric]
	if !known {
		t.Fatalf("metric %s is not in the contract", metric)
	}
	return labels
}

// split takes a series apart: moodle_x{a="b"} is the metric and its fixed labels.
func split(series string) (metric string, fixed map[string]string) {
	metric, rest, _ := strings.Cut(series, "{")
	fixed = map[string]string{}
	for _, m := range matcher.FindAllStringSubmatch(rest, -1) {
		fixed[m[1]] = m[2]
	}
	return metric, fixed
}

// inputs collects the series of a test, each once.
type inputs struct {
	t      *testing.T
	known  map[string]bool
	series []promSeries
	length int
}

type promSeries struct {
	Series string `yaml:"series"`
	Values string `yaml:"values"`
}

// add writes a series of someone; the first course of a series counts.
func (in *inputs) add(c condition, who map[string]string, course string, change map[string]string) {
	in.t.Helper()
	metric, fixed := split(c.series)
	maps.Copy(fixed, change)
	labels := []string{}
	for _, label := range labelsOf(in.t, metric) {
		value, isFixed := fixed[label]
		if !isFixed {
			value = who[label]
		}
		if value != "" {
			labels = append(labels, fmt.Sprintf("%s=%q", label, value))
		}
	}
	slices.Sort(labels)
	id := metric + "{" + strings.Join(slices.Compact(labels), ", ") + "}"
	if !in.known[id] {
		in.known[id] = true
		if course != "" {
			in.series = append(in.series, promSeries{id, gappy(in.t, course, in.length)})
		}
	}
}

// gappy is a course with every third scrape lost.
func gappy(t *testing.T, course string, length int) string {
	t.Helper()
	var values []string
	tokens := strings.Fields(course)
	for i, token := range tokens {
		var start, slope float64
		count := 1
		if at := strings.LastIndex(token, "x"); at > 0 {
			if _, err := fmt.Sscan(token[at+1:], &count); err != nil {
				t.Fatalf("course %q: %v", course, err)
			}
			token = token[:at]
		}
		if at := strings.LastIndexAny(token, "+-"); at > 0 {
			if _, err := fmt.Sscan(token[at:], &slope); err != nil {
				t.Fatalf("course %q: %v", course, err)
			}
			token = token[:at]
		}
		if _, err := fmt.Sscan(token, &start); err != nil {
			t.Fatalf("course %q: %v", course, err)
		}
		if i == len(tokens)-1 {
			count = max(count, length-len(values))
		}
		for n := range count {
			values = append(values, fmt.Sprint(start+slope*float64(n)))
		}
	}
	for i := range values {
		if i%3 == 2 {
			values[i] = "stale"
		}
	}
	return strings.Join(values, " ")
}

// steps are a time of promtool in scrapes.
func (s situation) steps(t *testing.T, moment string) int {
	t.Helper()
	if moment == "" {
		return 0
	}
	at, err := model.ParseDuration(moment)
	if err != nil {
		t.Fatal(err)
	}
	return int(time.Duration(at) / duration(t, s.interval()))
}

func (s situation) interval() string {
	if s.step == "" {
		return "1m"
	}
	return s.step
}

func (s situation) inputs(t *testing.T) *inputs {
	t.Helper()
	length := max(s.steps(t, s.fires), s.steps(t, s.still), s.steps(t, s.over)) + 2
	return &inputs{t: t, known: map[string]bool{}, length: length}
}

// meeting are the series in which the conditions meet for lms, if it has those courses, and for its company
// all but one.
func (s situation) meeting(t *testing.T, lms func(i int, c condition) string) []promSeries {
	t.Helper()
	in := s.inputs(t)
	for i, c := range s.conditions {
		in.add(c, company, lms(i, c), nil)
	}
	for i, c := range s.conditions {
		metric, fixed := split(c.series)
		for _, label := range labelsOf(t, metric) {
			if _, isFixed := fixed[label]; isFixed || slices.Contains(s.shared, label) {
				continue
			}
			other := maps.Clone(company)
			other[label] = fmt.Sprintf("%s-%d", company[label], i+1)
			for j, d := range s.conditions {
				if j == i {
					in.add(d, other, d.good, nil)
					if d.pinned != "" {
						in.add(d, other, d.bad, map[string]string{d.pinned: "another"})
					}
					continue
				}
				in.add(d, other, d.bad, nil)
			}
		}
	}
	for _, text := range s.others {
		series, course, _ := strings.Cut(text, "} ")
		in.add(condition{series: series + "}"}, company, course, nil)
	}
	return in.series
}

// threshold is the condition that a limit is such that it is passed.
func threshold(name, bad, good string) condition {
	return condition{series: fmt.Sprintf("moodle_threshold{name=%q}", name), bad: bad, good: good, pinned: "name"}
}

// situations are all there are.
func situations() []situation {
	return slices.Concat(watchingSituations(), hostSituations(), serverSituations(), certificateSituations(), backupSituations(), siteSituations())
}
