package dbserver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/go-sql-driver/mysql"
)

// ErrDenied is a question that the account may not ask.
var ErrDenied = errors.New("the account has not the privilege for it")

// Replication is the state of a replica, taken over all of its sources.
type Replication struct {
	Running bool          // both threads of every source run
	Lag     time.Duration // behind the slowest source
	Known   bool          // whether the server knows its lag: it does not while a thread stands still
}

// Error numbers of both products.
const (
	syntaxError  = 1064 // ER_PARSE_ERROR
	accessDenied = 1227 // ER_SPECIFIC_ACCESS_DENIED_ERROR
)

// replicaStatements ask for all sources of a replica, in the order of trying: MySQL has had the word REPLICA since 8.0.22.
var replicaStatements = map[Flavor][]string{
	MariaDB: {"SHOW ALL SLAVES STATUS"},
	MySQL:   {"SHOW REPLICA STATUS", "SHOW SLAVE STATUS"},
}

// ReadReplication reads how replication from other servers goes; ok is false on a server that is no replica.
// The error wraps ErrDenied where the account lacks SLAVE MONITOR (MariaDB since 10.5) or REPLICATION CLIENT.
func ReadReplication(ctx context.Context, conn *sql.Conn, flavor Flavor) (replication Replication, ok bool, err error) {
	for _, statement := range replicaStatements[flavor] {
		replication, ok, err = readReplicas(ctx, conn, statement)
		if !hasNumber(err, syntaxError) {
			break
		}
	}
	switch {
	case hasNumber(err, accessDenied):
		err = fmt.Errorf("read replication status: %w", ErrDenied)
	case err != nil:
		err = fmt.Errorf("read replication status: %w", err)
	}
	return replication, ok, err
}

func hasNumber(err error, number uint16) bool {
	var answer *mysql.MySQLError
	return errors.As(err, &answer) && answer.Number == number
}

func readReplicas(ctx context.Context, conn *sql.Conn, statement string) (replication Replication, found bool, err error) {
	rows, err := conn.QueryContext(ctx, statement)
	if err != nil {
		return Replication{}, false, err
	}
	defer func() { _ = rows.Close() }()
	columns, err := rows.Columns()
	if err != nil {
		return Replication{}, false, err
	}
	replication = Replication{Running: true, Known: true}
	for rows.Next() {
		found = true
		values := make([]sql.NullString, len(columns))
		places := make([]any, len(columns))
		for i := range values {
			places[i] = &values[i]
		}
		if err := rows.Scan(places...); err != nil {
			return Replication{}, false, err
		}
		replication.add(columns, values)
	}
	return replication, found, rows.Err()
}

// add takes one source into account.
func (r *Replication) add(columns []string, values []sql.NullString) {
	value := func(names ...string) string {
		i := slices.IndexFunc(columns, func(column string) bool { return slices.Contains(names, column) })
		if i < 0 {
			return ""
		}
		return values[i].String
	}
	r.Running = r.Running &&
		value("Slave_IO_Running", "Replica_IO_Running") == "Yes" &&
		value("Slave_SQL_Running", "Replica_SQL_Running") == "Yes"
	seconds, err := strconv.ParseInt(value("Seconds_Behind_Master", "Seconds_Behind_Source"), 10, 64)
	r.Known = r.Known && err == nil
	r.Lag = max(r.Lag, time.Duration(seconds)*time.Second)
}
