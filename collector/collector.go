// Package collector reads the state of a Moodle host for Prometheus. Each collector is one subject in
// one file; the engine gives every scrape a deadline and keeps a hung or broken subject from touching
// the others. Nothing here runs a program, writes a file or changes what it looks at.
package collector

import (
	"context"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Namespace is the first word of every metric of this exporter.
const Namespace = "moodle"

// Collector reads one subject.
type Collector interface {
	// Name is the word of the subject in flags, collect[] and the label collector.
	Name() string
	// Update emits the subject's current values. It ends when ctx ends; whatever it emitted
	// together with an error is still shown, and the error makes the collector's success 0.
	Update(ctx context.Context, emit Emit) error
}

// Emit takes one sample. It may be called from several goroutines until Update returns.
type Emit func(prometheus.Metric)

// desc names a metric of this exporter: moodle_<subsystem>_<name>, or moodle_<name> for an empty subsystem.
func desc(subsystem, name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(Namespace, subsystem, name), help, labels, nil)
}

// gauge emits a gauge of d.
func (emit Emit) gauge(d *prometheus.Desc, value float64, labels ...string) {
	emit.sample(d, prometheus.GaugeValue, value, labels)
}

// counter emits a counter of d.
func (emit Emit) counter(d *prometheus.Desc, value float64, labels ...string) {
	emit.sample(d, prometheus.CounterValue, value, labels)
}

// sample emits one value. Labels come from outside and need not be UTF-8, which Prometheus insists on.
func (emit Emit) sample(d *prometheus.Desc, kind prometheus.ValueType, value float64, labels []string) {
	for i, label := range labels {
		labels[i] = strings.ToValidUTF8(label, "\uFFFD")
	}
	emit(prometheus.MustNewConstMetric(d, kind, value, labels...))
}

// flag is 1 for true and 0 for false, as Prometheus wants its booleans.
func flag(value bool) float64 {
	if value {
		return 1
	}
	return 0
}
