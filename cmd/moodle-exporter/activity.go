package main

import (
	"context"

	"github.com/moodle-exporter/moodle-exporter/collector"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/internal/probe"
	"github.com/moodle-exporter/moodle-exporter/internal/redis"
)

// background is a collector that does its reading beside the scrapes.
type background interface {
	collector.Collector
	Run(ctx context.Context)
	Refresh(ctx context.Context)
}

// running starts a collector's reading, which ends with ctx.
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

// sessionServer is the Redis server of a site's sessions, with the login that the configuration gives it.
func (h *host) sessionServer(site *moodle.Site) (login redis.Login, known bool) {
	for _, written := range redisSessions(site.Config) {
		address, usable := redis.Address(written)
		for _, target := range h.redisTargets() {
			if usable && target.Address == address {
				return target.Login, true
			}
		}
	}
	return redis.Login{}, false
}

// newActivity makes a collector that outlives a reload: its counters go on.
func newActivity(h *host) *collector.Activity {
	return collector.NewActivity(collector.ActivitySources{
		Sites: h.view.Sites, Connections: h.connections, Clock: h.clock, Plugins: h.pluginsOnDisk, Redis: h.sessionServer,
	})
}

// newWeb makes a collector that outlives a reload: the site's session of its visitor is kept.
func newWeb(h *host) *collector.Web {
	return collector.NewWeb(collector.WebOptions{Sites: h.view.Sites, Clock: h.clock, Logger: h.logger})
}
