package collector

import (
	"context"
	"fmt"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/probe"
)

var (
	probeFacts     = desc("probe", "facts_timestamp_seconds", "When the privileged look at the site, or without a site at the host, last succeeded, as Unix time.", "site")
	secretsExposed = desc("secrets", "exposed", "Files and directories with secrets of the site, or without a site of the host, that others than they are meant for may read.", "site")
)

// Probe tells how old the facts are that the privileged look writes down for the exporter, and who may read what it has
// found to be secret.
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
		p.exposed(emit, snapshot.Host.Secrets, snapshot.Host.Taken, "")
	}
	for _, facts := range snapshot.Sites {
		emit.when(probeFacts, facts.Taken, facts.Name)
		p.exposed(emit, facts.Secrets, facts.Taken, facts.Name)
	}
	if snapshot.Err != nil {
		return snapshot.Err
	}
	return StaleFacts(snapshot, p.clock())
}

// exposed tells nothing where nobody has looked of late.
func (p *Probe) exposed(emit Emit, secrets *probe.Secrets, taken time.Time, site string) {
	if secrets != nil && probe.Fresh(taken, p.clock()) {
		emit.gauge(secretsExposed, float64(len(secrets.Exposed)), site)
	}
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
