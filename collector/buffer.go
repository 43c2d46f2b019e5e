package collector

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// buffer holds what one run of a collector emits. Closed, it drops what still comes:
// a goroutine left behind by a collector may send at any time.
type buffer struct {
	mu      sync.Mutex
	metrics []prometheus.Metric
	closed  bool
}

func (b *buffer) add(m prometheus.Metric) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed && m != nil {
		b.metrics = append(b.metrics, m)
	}
}

func (b *buffer) close() []prometheus.Metric {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return b.metrics
}

// samples is an unchecked prometheus.Collector of metrics that are there already.
type samples []prometheus.Metric

func (samples) Describe(chan<- *prometheus.Desc) {}

func (s samples) Collect(ch chan<- prometheus.Metric) {
	for _, m := range s {
		ch <- m
	}
}

// assemble sorts metrics into families. A sample that contradicts an earlier one is left out and named in the error.
func assemble(metrics []prometheus.Metric) ([]*dto.MetricFamily, error) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(samples(metrics))
	return registry.Gather()
}
