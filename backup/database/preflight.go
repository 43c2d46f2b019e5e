package database

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/moodle-exporter/moodle-exporter/internal/dbserver"
)

// Wants is what a restore will do, for Preflight.
type Wants struct {
	DB, ID             string // live schema and id of the restore
	Scope              Scope
	Kind, Version      string // of the server that was dumped: MariaDB or MySQL, and what its VERSION() said
	Charset, Collation string // of the schema that was dumped
	LongestStatement   int64  // bytes
	Bytes              int64  // of SQL, uncompressed
	Binlog             bool
	Dumped             map[string]int64 // its tables, with their rows
}

// Problem is something that keeps a restore from working, or, where it is not Fatal, something that the
// administrator should know beforehand.
type Problem struct {
	Fatal bool
	Text  string
	SQL   string // what mends it, ready to paste; may be empty
}

func fatal(format string, args ...any) Problem {
	return Problem{Fatal: true, Text: fmt.Sprintf(format, args...)}
}
func remark(format string, args ...any) Problem { return Problem{Text: fmt.Sprintf(format, args...)} }

// Preflight looks for what would keep a restore from working. The rights are proven by using them on empty
// schemas with the names of this restore, which are dropped again.
func (s *Server) Preflight(ctx context.Context, w Wants) ([]Problem, error) {
	var problems []Problem
	for _, check := range []func(context.Context, Wants) ([]Problem, error){
		s.checkVersion, s.checkSettings, s.checkCollation, s.checkSpace, s.checkReplicas, s.checkLeftovers, s.checkRights,
	} {
		found, err := check(ctx, w)
		if err != nil {
			return nil, fmt.Errorf("check the database server: %w", err)
		}
		problems = append(problems, found...)
	}
	return problems, nil
}

// checkVersion refuses what would come out otherwise on another product or an older server.
func (s *Server) checkVersion(_ context.Context, w Wants) ([]Problem, error) {
	switch {
	case w.Kind == "":
		return nil, nil
	case !strings.EqualFold(w.Kind, string(s.Flavor)):
		return []Problem{remark("the backup was made on %s %s, this server is %s %s: a structure that only the former knows will be refused while loading", w.Kind, w.Version, s.Flavor, s.Version)}, nil
	case compareVersions(w.Version, s.Version) > 0:
		return []Problem{fatal("the backup was made on %s %s, which is newer than this server (%s): update the server first", w.Kind, w.Version, s.Version)}, nil
	}
	return nil, nil
}

// checkSettings looks at what the server would choke on.
func (s *Server) checkSettings(ctx context.Context, w Wants) (problems []Problem, err error) {
	var packet, readOnly, lowerCase int64
	row := s.pool.QueryRowContext(ctx, "SELECT @@GLOBAL.max_allowed_packet, @@GLOBAL.read_only, @@GLOBAL.lower_case_table_names")
	if err := row.Scan(&packet, &readOnly, &lowerCase); err != nil {
		return nil, err
	}
	if packet < w.LongestStatement+1024 { // the packet holds a little more than the statement
		p := fatal("the backup holds a statement of %d bytes, but the server's max_allowed_packet is %d: set it to %d in the server's configuration, or until its next start with", w.LongestStatement, packet, packetFor(w.LongestStatement))
		p.SQL = fmt.Sprintf("SET GLOBAL max_allowed_packet = %d;", packetFor(w.LongestStatement))
		problems = append(problems, p)
	}
	if readOnly != 0 {
		problems = append(problems, fatal("the server only lets itself be read (read_only): restore on the primary server, or set read_only to 0"))
	}
	if lowerCase != 0 {
		for table := range w.Dumped {
			if table != strings.ToLower(table) {
				problems = append(problems, fatal("the backup holds the table %s, but this server writes all names in small letters (lower_case_table_names = %d)", table, lowerCase))
				break
			}
		}
	}
	var galera []string
	if galera, err = column(ctx, s.pool, "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_VARIABLES WHERE VARIABLE_NAME = 'wsrep_on'"); err == nil && slices.Contains(galera, "ON") {
		problems = append(problems, fatal("the server is part of a Galera cluster, in which exchanging a schema has not been tried: restore by hand as RESTORE.txt says"))
	}
	return problems, nil // MySQL has no such table, and no Galera either
}

// packetFor is a max_allowed_packet with room: a multiple of 1024, at most 1 GiB.
func packetFor(statement int64) int64 {
	return min((statement+statement/8+(1<<20))/1024*1024, statementLimit)
}

func (s *Server) checkCollation(ctx context.Context, w Wants) ([]Problem, error) {
	if w.Collation == "" {
		return nil, nil
	}
	known, err := column(ctx, s.pool, "SELECT COLLATION_NAME FROM information_schema.COLLATIONS WHERE COLLATION_NAME = ? OR CONCAT(?, '_', COLLATION_NAME) = ?", w.Collation, w.Charset, w.Collation)
	if err != nil || len(known) > 0 {
		return nil, err
	}
	return []Problem{fatal("this server (%s %s) does not know the collation %s of the backup: utf8mb4_0900_… needs MySQL 8.0 or MariaDB 11.4.5, …uca1400… MariaDB 10.10 or newer", s.Flavor, s.Version, w.Collation)}, nil
}

// checkSpace holds the size of the dump against the disk with the server's data, where that can be seen from
// here. Rows with their indexes take about twice the bytes of their SQL, sorting indexes some of it again.
func (s *Server) checkSpace(ctx context.Context, w Wants) ([]Problem, error) {
	var dir string
	if err := s.pool.QueryRowContext(ctx, "SELECT @@GLOBAL.datadir").Scan(&dir); err != nil {
		return nil, err
	}
	var disk syscall.Statfs_t
	if s.Login.Network != "unix" || syscall.Statfs(dir, &disk) != nil {
		return []Problem{remark("the free space for the server's data cannot be seen from here: it needs some %d MB", 2*w.Bytes>>20)}, nil
	}
	if free := int64(disk.Bavail) * disk.Bsize; free < 2*w.Bytes { //nolint:gosec // no disk has 2^63 bytes
		return []Problem{fatal("%s has %d MB free, and the database needs some %d MB beside the live one until that is discarded", dir, free>>20, 2*w.Bytes>>20)}, nil
	}
	return nil, nil
}

func (s *Server) checkReplicas(ctx context.Context, w Wants) ([]Problem, error) {
	replicas, err := s.Replicas(ctx)
	if err != nil {
		return []Problem{remark("whether replicas follow this server cannot be seen by this account: %v", discreet(err))}, nil
	}
	if len(replicas) > 0 && !w.Binlog {
		return []Problem{fatal("%d replicas follow this server: the restore must be written to the binary log, or they would break", len(replicas))}, nil
	}
	return nil, nil
}

// Replicas are the servers that follow this one, as host:port. The account needs REPLICATION MASTER ADMIN
// (MariaDB) or REPLICATION SLAVE (MySQL).
func (s *Server) Replicas(ctx context.Context) (replicas []string, err error) {
	query := "SHOW REPLICA HOSTS"
	if s.Flavor == dbserver.MySQL {
		query = "SHOW REPLICAS" // since 8.0.22
	}
	rows, err := s.pool.QueryContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("list replicas: %w", err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		values := make([]sql.NullString, len(names))
		places := make([]any, len(names))
		for i := range values {
			places[i] = &values[i]
		}
		if err := rows.Scan(places...); err != nil {
			return nil, err
		}
		replicas = append(replicas, values[1].String+":"+values[2].String) // Server_id, Host, Port
	}
	return replicas, rows.Err()
}

func (s *Server) checkLeftovers(ctx context.Context, w Wants) ([]Problem, error) {
	left, err := s.Leftovers(ctx, w.DB)
	if err != nil || len(left) == 0 {
		return nil, err
	}
	if slices.Contains(left, StagedName(w.DB, w.ID)) || slices.Contains(left, OldName(w.DB, w.ID)) {
		return []Problem{fatal("the schemas of this restore exist already: %s", strings.Join(left, ", "))}, nil
	}
	return []Problem{remark("schemas of earlier restores are still there and take space: %s", strings.Join(left, ", "))}, nil
}
