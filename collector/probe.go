package collector

import (
	"context"
	"fmt"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/probe"
)

var probeFacts = desc("probe", "facts_timestamp_seconds", "When the privileged look at the site, or without a site at the host, last succeeded, as Unix time.", "site")

// Probe tells how old the facts are that the privileged look writes down for the exporter.
type Probe struct {
	view  *probe.View
	clock func() time.Time
}

// NewProbe reads the facts through view.
func NewProbe(view *probe.View, clock func() time.Time) *Probe {
	return &Probe{view: view, clock: clock}
}

// Name implements Collector.
func (*Probe) Name() string { return "probe" }

// Update implements Collector. Facts that are missing or stale are an error: whatever is told from them is
// not known to be so.
func (p *Probe) Update(_ context.Context, emit Emit) error {
	snapshot := p.view.Snapshot()
	if snapshot.Host != nil {
		emit.when(probeFacts, snapshot.Host.Taken, "")
	}
	for _, facts := range snapshot.Sites {
		emit.when(probeFacts, facts.Taken, facts.Name)
	}
	if snapshot.Err != nil {
		return snapshot.Err
	}
	return StaleFacts(snapshot, p.clock())
}

// StaleFacts is an error where the privileged look has not been taken for three cadences.
func StaleFacts(snapshot probe.Snapshot, now time.Time) error {
	if snapshot.Host == nil {
		return probe.ErrNoFacts
	}
	if !probe.Fresh(snapshot.Host.Taken, now) {
		return fmt.Errorf("the privileged look was last taken at %s; is moodle-exporter-probe.timer running?", snapshot.Host.Taken.Format(time.RFC3339))
	}
	return nil
}
