package statuspage

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
)

// sample is one series without its name.
type sample struct {
	labels map[string]string
	value  float64
}

// view is the metrics as the checks read them. Names are without the prefix moodle_.
type view struct {
	samples map[string][]sample
	extras  Extras
	now     float64 // Unix seconds
	zone    *time.Location
	sites   []string
}

func newView(families []*dto.MetricFamily, extras Extras, now time.Time) *view {
	v := &view{samples: map[string][]sample{}, extras: extras, now: float64(now.UnixMilli()) / 1000, zone: now.Location()}
	for _, family := range families {
		name := strings.TrimPrefix(family.GetName(), "moodle_")
		for _, metric := range family.GetMetric() {
			labels := map[string]string{}
			for _, pair := range metric.GetLabel() {
				labels[pair.GetName()] = pair.GetValue()
			}
			// Every comparison with NaN is false, so that it would pass for a good value.
			if value := number(metric); !math.IsNaN(value) {
				v.samples[name] = append(v.samples[name], sample{labels, value})
			}
		}
	}
	v.sites = v.values("site", "site_info", "probe_facts_timestamp_seconds", "backup_enabled", "database_server_info")
	v.sites = slices.DeleteFunc(v.sites, func(site string) bool { return site == "" || site == config.HostName })
	return v
}

func number(metric *dto.Metric) float64 {
	switch {
	case metric.GetGauge() != nil:
		return metric.GetGauge().GetValue()
	case metric.GetCounter() != nil:
		return metric.GetCounter().GetValue()
	case metric.GetUntyped() != nil:
		return metric.GetUntyped().GetValue()
	}
	return math.NaN()
}

// all returns the series of a metric that have the given labels: name, value, name, value …
func (v *view) all(metric string, labels ...string) []sample {
	var found []sample
	for _, s := range v.samples[metric] {
		matches := true
		for i := 0; i+1 < len(labels); i += 2 {
			matches = matches && s.labels[labels[i]] == labels[i+1]
		}
		if matches {
			found = append(found, s)
		}
	}
	return found
}

// get returns the value of the one series of a metric with the given labels.
func (v *view) get(metric string, labels ...string) (value float64, found bool) {
	series := v.all(metric, labels...)
	if len(series) == 0 {
		return 0, false
	}
	return series[0].value, true
}

// is says whether the series is there and has the value.
func (v *view) is(value float64, metric string, labels ...string) bool {
	got, found := v.get(metric, labels...)
	return found && got == value
}

func (v *view) threshold(name string) (limit float64, found bool) {
	return v.get("threshold", "name", name)
}

// values are the different values of a label over several metrics, sorted.
func (v *view) values(label string, metrics ...string) []string {
	set := map[string]bool{}
	for _, metric := range metrics {
		for _, s := range v.samples[metric] {
			set[s.labels[label]] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// pairs are the different pairs of two labels over several metrics, sorted.
func (v *view) pairs(first, second string, metrics ...string) [][2]string {
	set := map[[2]string]bool{}
	for _, metric := range metrics {
		for _, s := range v.samples[metric] {
			set[[2]string{s.labels[first], s.labels[second]}] = true
		}
	}
	return slices.SortedFunc(maps.Keys(set), func(a, b [2]string) int {
		return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1]))
	})
}

// age is the time since a timestamp, in seconds. The clock that wrote it may be a little ahead.
func (v *view) age(timestamp float64) (seconds float64, sensible bool) {
	const skew = 60
	seconds = v.now - timestamp
	return max(0, seconds), seconds >= -skew
}

// moment writes a timestamp as a clock on the wall shows it.
func (v *view) moment(timestamp float64) string {
	return time.UnixMilli(int64(timestamp * 1000)).In(v.zone).Format("2006-01-02 15:04")
}
