package main

import (
	"context"
	"errors"
	"time"

	"github.com/moodle-exporter/moodle-exporter/collector"
	"github.com/moodle-exporter/moodle-exporter/internal/statuspage"
)

// remember takes a sample for the page's history every minute, until ctx ends. Nobody scrapes a host that has no
// Prometheus, so it looks itself; a scrape at the same moment shares the look.
func (h *host) remember(ctx context.Context, engine *collector.Engine, history *statuspage.History) {
	tick := time.NewTicker(statuspage.HistoryCadence)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if h.ready.Load() {
			h.sample(ctx, engine, history)
		}
	}
}

// sample records what a scrape would show now. What cannot be read in time is a gap, and said elsewhere.
func (h *host) sample(ctx context.Context, engine *collector.Engine, history *statuspage.History) {
	ctx, cancel := context.WithTimeout(ctx, statusTime)
	defer cancel()
	families, _ := engine.Gather(ctx)
	if !errors.Is(ctx.Err(), context.Canceled) {
		history.Record(families, h.clock())
	}
}
