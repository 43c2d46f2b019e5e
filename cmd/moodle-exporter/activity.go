package main

import (
	"context"

	"github.com/moodle-exporter/moodle-exporter/collector"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/internal/probe"
)

// background is a collector that does its reading beside the scrapes.
type background interface {
	collector.Collector
	Run(ctx context.Context)
	Refresh(ctx context.Context)
}

// running starts a collector's reading, which ends with ctx. The collector itself outlives a reload: its counters go on,
// and its visitor's session is kept.
func (h *host) running(ctx context.Context, c background) collector.Collector {
	if h.once {
		c.Refresh(ctx)
	} else {
		go c.Run(ctx)
	}
	return c
}

// pluginsOnDisk are those that the privileged look has seen in a site's code.
func (h *host) pluginsOnDisk(site *moodle.Site) (plugins moodle.DiskPlugins, known bool) {
	facts := h.view.Snapshot().Facts(site.Name)
	if facts == nil || facts.Plugins == nil || !probe.Fresh(facts.Taken, h.clock()) {
		return moodle.DiskPlugins{}, false
	}
	return *facts.Plugins, true
}

func newActivity(h *host) *collector.Activity {
	return collector.NewActivity(collector.ActivitySources{
		Sites: h.view.Sites, Connections: h.connections, Clock: h.clock, Plugins: h.pluginsOnDisk,
	})
}

func newWeb(h *host) *collector.Web {
	return collector.NewWeb(collector.WebOptions{Sites: h.view.Sites, Clock: h.clock, Logger: h.logger})
}
