// Package database loads a dump beside the live schema and exchanges the two in one step. Nothing of the live
// schema is dropped: what was there lies whole in a schema of its own until it is discarded.
package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/moodle-exporter/moodle-exporter/internal/dbserver"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// Server is an administrator's way into a database server. No client program is run.
type Server struct {
	Login   moodle.Login
	Flavor  dbserver.Flavor
	Version string // as VERSION() says it

	pool    *sql.DB
	account string // CURRENT_USER(), user@host as the server knows it
}

// UnsupportedError is a server on which RENAME TABLE is not known to survive a crash: MariaDB has atomic DDL
// since 10.6, MySQL since 8.0 (documentation of both: "Atomic DDL").
type UnsupportedError struct {
	Flavor  dbserver.Flavor
	Version string
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("the database server is %s %s; exchanging a whole schema in one step that survives a crash needs MariaDB 10.6 or MySQL 8.0 or newer: "+
		"update the server, or load the dump by hand as RESTORE.txt says", e.Flavor, e.Version)
}

// dialTimeout bounds the login alone: adding an index to a large table takes its hours.
const dialTimeout = 10 * time.Second

// Connect logs in, and refuses servers that are too old with an *UnsupportedError.
func Connect(ctx context.Context, login moodle.Login) (*Server, error) {
	config := login.Driver("", 0)
	config.Timeout = dialTimeout
	config.MaxAllowedPacket = 0 // what the server allows
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return nil, fmt.Errorf("connect to database server %s as %s: %w", login.Address, login.User, err)
	}
	s := &Server{Login: login, pool: sql.OpenDB(connector)}
	row := s.pool.QueryRowContext(ctx, "SELECT VERSION(), CURRENT_USER()")
	if err := row.Scan(&s.Version, &s.account); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to database server %s as %s: %w", login.Address, login.User, err), s.pool.Close())
	}
	s.Flavor = dbserver.FlavorOf(s.Version)
	if oldest := oldestVersions[s.Flavor]; compareVersions(s.Version, oldest) < 0 {
		return nil, errors.Join(&UnsupportedError{s.Flavor, s.Version}, s.pool.Close())
	}
	return s, nil
}

// Close ends all connections.
func (s *Server) Close() error { return s.pool.Close() }

var oldestVersions = map[dbserver.Flavor]string{dbserver.MariaDB: "10.6", dbserver.MySQL: "8.0"}

// compareVersions compares as many of the leading numbers of two versions as both have.
func compareVersions(a, b string) int {
	var x, y [2]int
	_, _ = fmt.Sscanf(a, "%d.%d", &x[0], &x[1]) // what cannot be read counts as 0, which is too old
	_, _ = fmt.Sscanf(b, "%d.%d", &y[0], &y[1])
	for i := range x {
		if x[i] != y[i] {
			return x[i] - y[i]
		}
	}
	return 0
}
