package collector

import (
	"context"
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/moodle-exporter/moodle-exporter/internal/phpfpm"
)

var (
	phpfpmUp = phpfpmDesc("up",
		"1 if the pool told its status; what hinders it stands in the exporter's log and status.")
	phpfpmMaxChildren = phpfpmDesc("max_children", "Requests that the pool can work on at once (pm.max_children).")
	phpfpmQueue       = phpfpmDesc("listen_queue", "Connections that wait for a free child.")
	phpfpmStart       = phpfpmDesc("start_time_seconds", "When the pool was started or reloaded, as Unix time.")
	phpfpmProcesses   = desc("phpfpm", "processes", "Children of the pool by what they do.", "server", "pool", "state")
	phpfpmReached     = phpfpmDesc("max_children_reached_total", "Times the pool wanted more children than it may have, since start_time; never with pm = static.")
	phpfpmSlow        = phpfpmDesc("slow_requests_total", "Requests that took longer than request_slowlog_timeout, since start_time.")
	phpfpmAccepted    = phpfpmDesc("accepted_connections_total", "Connections that the pool took, since start_time.")
)

// phpfpmDesc names a metric of one pool.
func phpfpmDesc(name, help string) *prometheus.Desc {
	return desc("phpfpm", name, help, "server", "pool")
}

// PHPFPM reads the pools that the sites' PHP runs in.
type PHPFPM struct {
	targets  func() []phpfpm.Target
	procRoot string

	mu    sync.Mutex
	names map[string]string // of pools whose name only their status tells, by address
}

// NewPHPFPM reads the pools that targets returns at each scrape. procRoot is /proc.
func NewPHPFPM(procRoot string, targets func() []phpfpm.Target) *PHPFPM {
	return &PHPFPM{targets: targets, procRoot: procRoot, names: map[string]string{}}
}

// Name implements Collector.
func (*PHPFPM) Name() string { return "phpfpm" }

// Update implements Collector. A pool that is known never disappears: one that does not tell its status is not up.
func (p *PHPFPM) Update(ctx context.Context, emit Emit) error {
	return sideBySide(ctx, p.targets(), func(ctx context.Context, target phpfpm.Target) error {
		status, err := readPool(ctx, target)
		pool := p.name(target, status.Pool)
		labels := []string{target.Server, pool}
		emit.gauge(phpfpmUp, flag(err == nil), labels...)
		if most := target.Known.MaxChildren; most > 0 {
			emit.gauge(phpfpmMaxChildren, float64(most), labels...)
		}
		if err != nil {
			return fmt.Errorf("PHP-FPM %s, pool %s: %w", target.Server, pool, err)
		}
		emitPool(emit, status, labels)
		return p.emitQueue(emit, target, status, labels)
	})
}

func readPool(ctx context.Context, target phpfpm.Target) (phpfpm.Status, error) {
	if target.Address == "" {
		return phpfpm.Status{}, fmt.Errorf("%s is not set in %s, so nobody can ask for the pool's status; moodle-exporter config check prints the lines to add",
			target.Missing, target.Known.File)
	}
	return phpfpm.ReadStatus(ctx, target.Address, target.Path)
}

// name is the pool's name, once it has told it where no pool file does: then it stays while the pool is down.
func (p *PHPFPM) name(target phpfpm.Target, told string) string {
	if target.Pool != "" {
		return target.Pool
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if told != "" {
		p.names[target.Address] = told
	}
	return p.names[target.Address]
}

func emitPool(emit Emit, status phpfpm.Status, labels []string) {
	emit.when(phpfpmStart, status.StartTime(), labels...)
	for state, number := range map[string]*float64{"active": status.Active, "idle": status.Idle} {
		emit.gauge(phpfpmProcesses, *number, append(labels[:2:2], state)...)
	}
	for d, number := range map[*prometheus.Desc]*float64{
		phpfpmReached: status.MaxChildrenReached, phpfpmSlow: status.SlowRequests, phpfpmAccepted: status.Accepted,
	} {
		if number != nil {
			emit.counter(d, *number, labels...)
		}
	}
}

// emitQueue tells who waits. PHP-FPM knows that of TCP ports only, where the queue has a length; of a unix socket the
// kernel tells. Where neither does there is no number: 0 would say that nobody waits.
func (p *PHPFPM) emitQueue(emit Emit, target phpfpm.Target, status phpfpm.Status, labels []string) error {
	if network, path := phpfpm.Dialable(target.Known.Listen); network == "unix" {
		waiting, known, err := phpfpm.SocketQueue(p.procRoot, path)
		if known {
			emit.gauge(phpfpmQueue, float64(waiting), labels...)
		}
		return err
	}
	if status.ListenQueue != nil && status.ListenQueueLen != nil && *status.ListenQueueLen > 0 {
		emit.gauge(phpfpmQueue, *status.ListenQueue, labels...)
	}
	return nil
}
