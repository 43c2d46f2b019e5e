package collector

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/moodle-exporter/moodle-exporter/internal/redis"
)

var (
	redisUp    = redisDesc("up", "1 if the server let the exporter in and is not still loading its data; what hinders it stands in the exporter's log and status.")
	redisStart = redisDesc("start_time_seconds", "When the server was started, as Unix time by its own clock.")
)

// redisGauges and redisCounters are numbers of INFO, by their names there.
var (
	redisGauges = map[string]*prometheus.Desc{
		"used_memory":       redisDesc("memory_used_bytes", "Memory that the server has allocated."),
		"maxmemory":         redisDesc("memory_max_bytes", "Memory that the server may use for data before it evicts or refuses (maxmemory); 0 is no limit."),
		"connected_clients": redisDesc("connected_clients", "Open connections, the exporter's own among them."),
	}
	redisCounters = map[string]*prometheus.Desc{
		"evicted_keys":         redisDesc("evicted_keys_total", "Keys dropped for lack of memory; on a server with sessions each is a user logged out."),
		"rejected_connections": redisDesc("rejected_connections_total", "Connections refused because of maxclients."),
		"keyspace_hits":        redisDesc("keyspace_hits_total", "Look-ups of keys that were there."),
		"keyspace_misses":      redisDesc("keyspace_misses_total", "Look-ups of keys that were not there."),
	}
)

// redisDesc names a metric of one server.
func redisDesc(name, help string) *prometheus.Desc {
	return desc("redis", name, help, "server", "role")
}

var errRedisLoading = errors.New("the server is still loading its data and refuses all else (LOADING)")

// Redis reads the servers that sessions and caches are kept in.
type Redis struct {
	targets func() []redis.Target
	clock   func() time.Time

	mu      sync.Mutex
	servers map[string]*redisServer // by address
}

// redisServer is what is kept of one server between scrapes.
type redisServer struct {
	client *redis.Client
	start  time.Time
}

// NewRedis reads the servers that targets returns at each scrape, over connections that are kept until Close.
func NewRedis(targets func() []redis.Target, clock func() time.Time) *Redis {
	return &Redis{targets: targets, clock: clock, servers: map[string]*redisServer{}}
}

// Name implements Collector.
func (*Redis) Name() string { return "redis" }

// Update implements Collector.
func (r *Redis) Update(ctx context.Context, emit Emit) error {
	targets := r.targets()
	servers := r.keep(targets)
	return sideBySide(ctx, targets, func(ctx context.Context, target redis.Target) error {
		server, labels := servers[target.Address], []string{target.Address, target.Role}
		info, err := server.client.Info(ctx)
		if err == nil {
			r.emitInfo(emit, info, server, labels)
			if info.Loading() {
				err = errRedisLoading
			}
		}
		emit.gauge(redisUp, flag(err == nil), labels...)
		if err != nil {
			return fmt.Errorf("Redis %s: %w", target.Address, err)
		}
		return nil
	})
}

// keep returns the servers of the targets, and lets those go that are none any more or are logged in to otherwise.
func (r *Redis) keep(targets []redis.Target) map[string]*redisServer {
	r.mu.Lock()
	defer r.mu.Unlock()
	wanted := make(map[string]*redisServer, len(targets))
	for _, target := range targets {
		server := r.servers[target.Address]
		if server == nil || server.client.Login() != target.Login {
			server = &redisServer{client: redis.NewClient(target.Login)}
		}
		wanted[target.Address] = server
	}
	for address, server := range r.servers {
		if wanted[address] != server {
			server.client.Close()
		}
	}
	r.servers = wanted
	return wanted
}

// Close ends the kept connections.
func (r *Redis) Close() { r.keep(nil) }

// startJitter is by how much the start of an old server, reckoned from whole seconds of two clocks, wavers.
const startJitter = 2 * time.Second

func (r *Redis) emitInfo(emit Emit, info redis.Info, server *redisServer, labels []string) {
	if start := info.Start(r.clock()); start.Sub(server.start).Abs() > startJitter {
		server.start = start
	}
	emit.when(redisStart, server.start, labels...)
	for name, d := range redisGauges {
		if number, known := info.Number(name); known {
			emit.gauge(d, number, labels...)
		}
	}
	for name, d := range redisCounters {
		if number, known := info.Number(name); known {
			emit.counter(d, number, labels...)
		}
	}
}
