package collector

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/moodle-exporter/moodle-exporter/internal/dbserver"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

var (
	databaseUp = desc("database", "up",
		"1 if the server let the exporter's account in and answered; what hinders it stands in the exporter's log and status.", "server")
	databaseInfo       = desc("database", "info", "Always 1; the product and its version.", "server", "flavor", "version")
	databaseServerInfo = desc("database", "server_info", "Always 1; which site is on which server.", "site", "server")
	databaseStart      = desc("database", "start_time_seconds", "When the server started, as Unix time by its own clock.", "server")
	databaseMaxConns   = desc("database", "max_connections", "Connections that the server allows at once.", "server")
	databasePool       = desc("database", "innodb_buffer_pool_bytes", "Size of the InnoDB buffer pool.", "server")
	databaseErrors     = desc("database", "connection_errors_total", "Connections that the server refused, by reason.", "server", "error")
	databaseReplicates = desc("database", "replication_running", "1 if both threads of every replication source run.", "server")
	databaseLag        = desc("database", "replication_lag_seconds", "How far the replica is behind its slowest source.", "server")
)

// databaseGauges and databaseCounters are the server's status variables, under lower-case names.
var (
	databaseGauges = map[string]*prometheus.Desc{
		"threads_connected":             desc("database", "threads_connected", "Open connections.", "server"),
		"threads_running":               desc("database", "threads_running", "Connections that are executing a statement, this question among them.", "server"),
		"innodb_buffer_pool_bytes_data": desc("database", "innodb_buffer_pool_data_bytes", "Part of the buffer pool that holds data.", "server"),
	}
	databaseCounters = map[string]*prometheus.Desc{
		"connections":                      desc("database", "connections_total", "Attempts to connect, successful or not.", "server"),
		"aborted_connects":                 desc("database", "aborted_connects_total", "Failed attempts to connect.", "server"),
		"slow_queries":                     desc("database", "slow_queries_total", "Statements that took longer than long_query_time.", "server"),
		"questions":                        desc("database", "questions_total", "Statements sent by clients.", "server"),
		"innodb_buffer_pool_reads":         desc("database", "innodb_buffer_pool_reads_total", "Reads that the buffer pool could not serve.", "server"),
		"innodb_buffer_pool_read_requests": desc("database", "innodb_buffer_pool_read_requests_total", "Logical reads from the buffer pool.", "server"),
	}
)

// Database reads the servers of the sites' databases.
type Database struct {
	sites       func() []*moodle.Site
	connections *moodle.Connections
	sizes       *schemaSizes
	logger      *slog.Logger

	mu     sync.Mutex
	denied map[string]bool // servers that keep their replication status from us, and have been complained about
}

// NewDatabase reads the servers of the current sites over their kept connections.
func NewDatabase(sites func() []*moodle.Site, connections *moodle.Connections, clock func() time.Time, logger *slog.Logger) *Database {
	return &Database{
		sites: sites, connections: connections, logger: logger, sizes: newSchemaSizes(clock),
		denied: make(map[string]bool),
	}
}

// Name implements Collector.
func (*Database) Name() string { return "database" }

// Update implements Collector. Servers are read side by side, so that one that hangs does not hide another.
func (d *Database) Update(ctx context.Context, emit Emit) error {
	servers := make(map[string][]*moodle.Site)
	for _, site := range d.sites() {
		if site.Config.MySQL() {
			server := site.Config.Server()
			servers[server] = append(servers[server], site)
			emit.gauge(databaseServerInfo, 1, site.Name, server)
		}
	}
	var all sync.WaitGroup
	failures := make(chan error, len(servers))
	for server, sites := range servers {
		all.Go(func() { failures <- d.readServer(ctx, server, sites, emit) })
	}
	all.Wait()
	close(failures)
	var err error
	for failure := range failures {
		err = errors.Join(err, failure)
	}
	return err
}

// readServer reads one server over the first connection of its sites that gets in.
func (d *Database) readServer(ctx context.Context, server string, sites []*moodle.Site, emit Emit) error {
	var failures error
	tried := make(map[*dbserver.Connection]bool)
	for _, site := range sites {
		connection, err := d.connections.Of(site)
		if err != nil {
			failures = errors.Join(failures, err)
			continue
		}
		if tried[connection] {
			continue
		}
		tried[connection] = true
		up := false
		err = connection.Use(ctx, func(ctx context.Context, conn *sql.Conn) error {
			status, err := dbserver.ReadStatus(ctx, conn)
			if err != nil {
				return err
			}
			up = true
			emit.gauge(databaseUp, 1, server)
			emitStatus(emit, server, status)
			return errors.Join(d.readReplication(ctx, conn, server, status.Flavor, emit), d.sizes.read(ctx, conn, server, sites, emit))
		})
		if up {
			return err
		}
		failures = errors.Join(failures, err)
	}
	emit.gauge(databaseUp, 0, server)
	return failures
}

func emitStatus(emit Emit, server string, status dbserver.Status) {
	emit.gauge(databaseInfo, 1, server, string(status.Flavor), status.Version)
	emit.gauge(databaseMaxConns, status.MaxConnections, server)
	emit.gauge(databasePool, status.BufferPoolBytes, server)
	if !status.Start.IsZero() {
		emit.gauge(databaseStart, float64(status.Start.Unix()), server)
	}
	for variable, d := range databaseGauges {
		if value, ok := status.Counters[variable]; ok {
			emit.gauge(d, value, server)
		}
	}
	for variable, d := range databaseCounters {
		if value, ok := status.Counters[variable]; ok {
			emit.counter(d, value, server)
		}
	}
	for _, reason := range dbserver.ConnectionErrors {
		if value, ok := status.Counters["connection_errors_"+reason]; ok {
			emit.counter(databaseErrors, value, server, reason)
		}
	}
}

// readReplication emits nothing on a server that is no replica. A missing privilege is said once and is no
// failure: most hosts have no replication.
func (d *Database) readReplication(ctx context.Context, conn *sql.Conn, server string, flavor dbserver.Flavor, emit Emit) error {
	replication, found, err := dbserver.ReadReplication(ctx, conn, flavor)
	if d.complain(server, errors.Is(err, dbserver.ErrDenied)) {
		d.logger.Warn("replication is not watched: the account lacks SLAVE MONITOR (MySQL: REPLICATION CLIENT); the command config grants prints it",
			"server", server)
	}
	switch {
	case errors.Is(err, dbserver.ErrDenied):
		return nil
	case err != nil || !found:
		return err
	}
	emit.gauge(databaseReplicates, flag(replication.Running), server)
	if replication.Known {
		emit.gauge(databaseLag, replication.Lag.Seconds(), server)
	}
	return nil
}

// complain says whether server has begun to deny since the last time.
func (d *Database) complain(server string, denied bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	begun := denied && !d.denied[server]
	d.denied[server] = denied
	return begun
}
