package main

import (
	"context"
	"slices"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/collector"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/internal/phpfpm"
	"github.com/moodle-exporter/moodle-exporter/internal/redis"
)

// pools are those whose status the configuration names, else all that the look found.
func (h *host) pools() []phpfpm.Target {
	var known []phpfpm.Pool
	if facts := h.view.Snapshot().Host; facts != nil {
		known = facts.Pools
	}
	configured := h.settings.Load().PHPFPM
	if configured == nil {
		return phpfpm.Targets(known)
	}
	var named []phpfpm.Target
	for _, entry := range configured {
		named = append(named, phpfpm.TargetAt(entry.Listen, entry.Path, known))
	}
	return phpfpm.Distinct(named)
}

// statusPages are those of the configuration, else those that the look found in nginx's own.
func (h *host) statusPages() collector.NginxPages {
	if configured := h.settings.Load().Nginx; configured != nil {
		return collector.NginxPages{Addresses: configured}
	}
	facts := h.view.Snapshot().Host
	if facts == nil {
		return collector.NginxPages{}
	}
	return collector.NginxPages{Addresses: facts.Nginx, Hidden: slices.Contains(h.units(), "nginx.service")}
}

// redis makes the collector, whose connections end with ctx.
func (h *host) redis(ctx context.Context) *collector.Redis {
	made := collector.NewRedis(h.redisTargets, h.clock)
	context.AfterFunc(ctx, made.Close)
	return made
}

// redisSessions is the server of a site's sessions, if they are in Redis: the address alone may be a leftover.
func redisSessions(site moodle.PHPConfig) []string {
	if !strings.Contains(strings.ToLower(site.SessionHandler), "redis") {
		return nil
	}
	return []string{site.RedisSession}
}

// redisTargets are the configured servers, and those that the look found the sites to keep sessions and caches in.
func (h *host) redisTargets() []redis.Target {
	var sessions, caches []string
	for _, facts := range h.view.Snapshot().Sites {
		sessions = append(sessions, redisSessions(facts.Config)...)
		caches = append(caches, facts.RedisCaches...)
	}
	return redis.Targets(h.settings.Load().Redis, sessions, caches)
}
