package dbserver

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Flavor is the product that answers.
type Flavor string

// The products. Percona's server and Aurora speak and count as MySQL.
const (
	MariaDB Flavor = "mariadb"
	MySQL   Flavor = "mysql"
)

// FlavorOf tells the product from what VERSION() returns, such as 10.11.6-MariaDB-0+deb12u1 or 8.0.36.
func FlavorOf(version string) Flavor {
	if strings.Contains(strings.ToLower(version), "mariadb") {
		return MariaDB
	}
	return MySQL
}

// Status is the state of a server. Counters run since its start.
type Status struct {
	Flavor  Flavor
	Version string
	Start   time.Time // by the server's own clock, in whole seconds; the same until it restarts

	MaxConnections  float64
	BufferPoolBytes float64
	// Counters are the server's status variables under their lower-case names; see statusNames.
	Counters map[string]float64
}

// ConnectionErrors are the reasons for which a server counts refused connections: the status variables
// Connection_errors_<reason>.
var ConnectionErrors = []string{"accept", "internal", "max_connections", "peer_address", "select", "tcpwrap"}

// statusNames are the status variables that are read.
func statusNames() []string {
	names := []string{
		"Uptime", "Threads_connected", "Threads_running", "Connections", "Aborted_connects", "Slow_queries", "Questions",
		"Innodb_buffer_pool_bytes_data", "Innodb_buffer_pool_reads", "Innodb_buffer_pool_read_requests",
	}
	for _, reason := range ConnectionErrors {
		names = append(names, "Connection_errors_"+reason)
	}
	return names
}

// statusTables hold what SHOW GLOBAL STATUS shows. Read as tables they can be asked for the server's clock in
// the same statement: both products compute Uptime from the time at which the statement began, so that
// UNIX_TIMESTAMP() - Uptime is the second of the server's start, without any jitter.
var statusTables = map[Flavor]string{
	MariaDB: "information_schema.GLOBAL_STATUS",
	MySQL:   "performance_schema.global_status",
}

// ReadStatus reads the state of the server behind conn. It needs no privilege.
func ReadStatus(ctx context.Context, conn *sql.Conn) (Status, error) {
	status := Status{Counters: make(map[string]float64)}
	row := conn.QueryRowContext(ctx, "SELECT VERSION(), @@GLOBAL.max_connections, @@GLOBAL.innodb_buffer_pool_size")
	if err := row.Scan(&status.Version, &status.MaxConnections, &status.BufferPoolBytes); err != nil {
		return Status{}, fmt.Errorf("read server variables: %w", err)
	}
	status.Flavor = FlavorOf(status.Version)
	if err := status.readCounters(ctx, conn); err != nil {
		return Status{}, fmt.Errorf("read server status: %w", err)
	}
	return status, nil
}

func (s *Status) readCounters(ctx context.Context, conn *sql.Conn) error {
	names := statusNames()
	arguments := make([]any, len(names))
	for i, name := range names {
		arguments[i] = name
	}
	rows, err := conn.QueryContext(ctx, "SELECT LOWER(VARIABLE_NAME), VARIABLE_VALUE, UNIX_TIMESTAMP() FROM "+statusTables[s.Flavor]+
		" WHERE VARIABLE_NAME IN (?"+strings.Repeat(",?", len(names)-1)+")", arguments...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name, value string
		var now int64
		if err := rows.Scan(&name, &value, &now); err != nil {
			return err
		}
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return fmt.Errorf("status variable %s: %w", name, err)
		}
		s.Counters[name] = number
		if name == "uptime" {
			s.Start = time.Unix(now-int64(number), 0)
		}
	}
	return rows.Err()
}
