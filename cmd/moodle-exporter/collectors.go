package main

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/moodle-exporter/moodle-exporter/collector"
)

// collectors are all there are: the name in flags and labels, what it reads, and how it is made.
var collectors = []struct {
	name, help string
	build      func(ctx context.Context, h *host) collector.Collector
}{
	{"cpu", "Processors, load, boot time.", func(context.Context, *host) collector.Collector { return collector.NewCPU(procRoot) }},
	{"memory", "Memory, swap, kills for lack of memory.", func(context.Context, *host) collector.Collector { return collector.NewMemory(procRoot) }},
	{"filesystem", "Filesystems and what they are used for.", func(_ context.Context, h *host) collector.Collector {
		return collector.NewFilesystem(procRoot, h.roles(), statfs)
	}},
	{"service", "Units of systemd, over D-Bus.", func(_ context.Context, h *host) collector.Collector { return collector.NewService(h.bus, h.units) }},
	{"database", "Database servers of the sites.", func(_ context.Context, h *host) collector.Collector {
		return collector.NewDatabase(h.view.Sites, h.connections, h.clock, h.logger)
	}},
	{"site", "Cron, tasks, maintenance mode and upgrades of the sites.", func(_ context.Context, h *host) collector.Collector {
		return h.fromFacts(collector.NewSite(h.siteSources()))
	}},
	{"activity", "Users, sessions, logins, results of tasks, files, plugins and updates of the sites.", func(ctx context.Context, h *host) collector.Collector {
		return h.fromFacts(h.running(ctx, h.activity))
	}},
	{"web", "The login page of each site, visited as a user would.", func(ctx context.Context, h *host) collector.Collector {
		return h.fromFacts(h.running(ctx, h.web))
	}},
	{"certificate", "Certificates, as served and as files.", func(ctx context.Context, h *host) collector.Collector {
		return h.fromFacts(h.certificates(ctx))
	}},
	{"phpfpm", "Pools of PHP-FPM.", func(_ context.Context, h *host) collector.Collector {
		return h.fromFacts(collector.NewPHPFPM(procRoot, h.pools))
	}},
	{"nginx", "Connections and requests of nginx.", func(_ context.Context, h *host) collector.Collector {
		return h.fromFacts(collector.NewNginx(h.statusPages))
	}},
	{"redis", "Redis servers of sessions and caches.", func(ctx context.Context, h *host) collector.Collector {
		return h.fromFacts(h.redis(ctx))
	}},
	{"backup", "Backups of the sites.", func(_ context.Context, h *host) collector.Collector {
		return h.fromFacts(collector.NewBackup(h.backups, h.clock))
	}},
	{"job", "What this program has done: backups and other jobs.", func(_ context.Context, h *host) collector.Collector {
		return collector.NewJob(h.stateDir, procRoot, h.clock)
	}},
	{"threshold", "Limits that the alert rules compare with.", func(_ context.Context, h *host) collector.Collector {
		return collector.NewThreshold(func() map[string]float64 { return h.settings.Load().Thresholds })
	}},
	{"probe", "How old the privileged look at the host is.", func(_ context.Context, h *host) collector.Collector { return collector.NewProbe(h.view, h.clock) }},
}

const procRoot = "/proc"

func statfs(path string) (unix.Statfs_t, error) {
	var answer unix.Statfs_t
	err := unix.Statfs(path, &answer)
	return answer, err
}
