package collector

import "context"

var threshold = desc("", "threshold", "Limit from the configuration that the alert rules compare with.", "name")

// Threshold shows the configured limits, so that rules and status page compare with the same numbers.
type Threshold struct {
	limits func() map[string]float64
}

// NewThreshold shows the limits that are in force, by name.
func NewThreshold(limits func() map[string]float64) *Threshold { return &Threshold{limits} }

// Name implements Collector.
func (*Threshold) Name() string { return "threshold" }

// Update implements Collector.
func (t *Threshold) Update(_ context.Context, emit Emit) error {
	for name, limit := range t.limits() {
		emit.gauge(threshold, limit, name)
	}
	return nil
}
