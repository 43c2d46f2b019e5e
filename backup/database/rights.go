package database

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/moodle-exporter/moodle-exporter/internal/dbserver"
)

// denials are the numbers with which both products refuse an account something.
var denials = []uint16{1044, 1045, 1142, 1143, 1227, 1370, 1419}

// checkRights does in empty schemas what a restore does in full ones.
func (s *Server) checkRights(ctx context.Context, w Wants) (problems []Problem, err error) {
	if !w.Binlog {
		conn, err := s.conn(ctx, false)
		if hasNumber(err, denials...) {
			p := fatal("the account %s may not load without writing to the binary log; let it, or load with it", s.account)
			p.SQL = "GRANT " + map[dbserver.Flavor]string{dbserver.MariaDB: "BINLOG ADMIN", dbserver.MySQL: "SYSTEM_VARIABLES_ADMIN"}[s.Flavor] + " ON *.* TO " + s.grantee() + ";"
			return []Problem{p}, nil
		}
		if err != nil {
			return nil, err
		}
		_ = drop(conn)
	}
	tried := s.tryOut(ctx, w)
	var answer *mysql.MySQLError
	if errors.As(tried, &answer) && hasNumber(tried, denials...) {
		p := fatal("the account %s lacks rights that a restore needs (%v); run as an administrator of the server", s.account, discreet(tried))
		p.SQL = s.grants(w)
		return []Problem{p}, nil
	}
	if tried != nil {
		return nil, tried
	}
	return s.checkLive(ctx, w)
}

// tryOut makes both schemas, moves a table with everything that a schema can hold, and drops them.
func (s *Server) tryOut(ctx context.Context, w Wants) (err error) {
	staged, old := StagedName(w.DB, w.ID), OldName(w.DB, w.ID)
	for _, name := range []string{staged, old} {
		there, err := column(ctx, s.pool, "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ?", name)
		if err != nil || len(there) > 0 {
			return err // checkLeftovers has told; it is not ours to drop
		}
	}
	conn, err := s.conn(ctx, w.Binlog)
	if err != nil {
		return err
	}
	defer func() { _ = drop(conn) }()
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
		defer cancel()
		// An interruption has closed the connection of what it interrupted.
		conn, failed := s.conn(clean, w.Binlog)
		if failed != nil {
			err = errors.Join(err, failed)
			return
		}
		defer func() { _ = drop(conn) }()
		for _, name := range []string{staged, old} {
			_, failed := conn.ExecContext(clean, "DROP DATABASE IF EXISTS "+dbserver.Quote(name))
			if !hasNumber(failed, denials...) {
				err = errors.Join(err, failed)
			}
		}
	}()
	for _, statement := range []string{
		"CREATE DATABASE " + dbserver.Quote(staged), "CREATE DATABASE " + dbserver.Quote(old),
		"CREATE TABLE " + qualified(staged, "t") + " (id INT PRIMARY KEY, v INT, KEY v (v)) ENGINE=InnoDB",
		"INSERT INTO " + qualified(staged, "t") + " VALUES (1, 1)", "ALTER TABLE " + qualified(staged, "t") + " DROP KEY v",
		"RENAME TABLE " + qualified(staged, "t") + " TO " + qualified(old, "t"),
		"CREATE TRIGGER " + qualified(old, "g") + " BEFORE INSERT ON " + qualified(old, "t") + " FOR EACH ROW SET NEW.v = 1",
		"CREATE VIEW " + qualified(old, "w") + " AS SELECT 1 AS one", "CREATE PROCEDURE " + qualified(old, "p") + "() SELECT 1",
		"CREATE EVENT " + qualified(old, "e") + " ON SCHEDULE EVERY 1 YEAR STARTS '2037-01-01' DISABLE DO SELECT 1",
	} {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("try out the rights of a restore: %w", err)
		}
	}
	return nil
}

// checkLive looks whether the account has the same rights on the live schema: all of them globally or there.
func (s *Server) checkLive(ctx context.Context, w Wants) ([]Problem, error) {
	user, host := s.names()
	held, err := column(ctx, s.pool, "SELECT PRIVILEGE_TYPE FROM information_schema.USER_PRIVILEGES WHERE GRANTEE = ?"+
		" UNION SELECT PRIVILEGE_TYPE FROM information_schema.SCHEMA_PRIVILEGES WHERE GRANTEE = ? AND ? LIKE TABLE_SCHEMA",
		"'"+user+"'@'"+host+"'", "'"+user+"'@'"+host+"'", w.DB)
	if err != nil {
		return nil, err
	}
	var lacking []string
	for _, privilege := range liveRights {
		if !contains(held, privilege) {
			lacking = append(lacking, privilege)
		}
	}
	if len(lacking) == 0 {
		return nil, nil
	}
	p := remark("the account %s has not been granted %s on the schema %s by name; unless a role gives it, the exchange will be refused", s.account, strings.Join(lacking, ", "), w.DB)
	p.SQL = s.grants(w)
	return []Problem{p}, nil
}

var liveRights = []string{"SELECT", "INSERT", "CREATE", "DROP", "ALTER", "INDEX", "TRIGGER", "CREATE VIEW", "SHOW VIEW", "CREATE ROUTINE", "ALTER ROUTINE", "EVENT"}

func contains(list []string, wanted string) bool {
	for _, one := range list {
		if strings.EqualFold(one, wanted) {
			return true
		}
	}
	return false
}

// grants is what gives the account all that a restore needs.
func (s *Server) grants(w Wants) string {
	pattern := func(name string) string {
		return dbserver.Quote(strings.NewReplacer(`\`, `\\`, "_", `\_`, "%", `\%`).Replace(name))
	}
	var out strings.Builder
	for _, name := range []string{pattern(w.DB), strings.TrimSuffix(pattern(StagedName(w.DB, "")), "`") + "%`", strings.TrimSuffix(pattern(OldName(w.DB, "")), "`") + "%`"} {
		fmt.Fprintf(&out, "GRANT ALL PRIVILEGES ON %s.* TO %s;\n", name, s.grantee())
	}
	fmt.Fprintf(&out, "GRANT %s ON *.* TO %s;\nGRANT SELECT ON mysql.* TO %[2]s;", globalRights[s.Flavor], s.grantee())
	return out.String()
}

// globalRights let an account see and end the connections of others, name them as definers, make triggers while there
// is a binary log, leave that out, and see replicas.
var globalRights = map[dbserver.Flavor]string{
	dbserver.MariaDB: "PROCESS, CONNECTION ADMIN, SET USER, BINLOG ADMIN, REPLICATION MASTER ADMIN",
	dbserver.MySQL:   "PROCESS, CONNECTION_ADMIN, SET_USER_ID, SUPER, REPLICATION SLAVE",
}

func (s *Server) names() (user, host string) {
	i := strings.LastIndex(s.account, "@")
	return s.account[:max(i, 0)], s.account[i+1:]
}

func (s *Server) grantee() string {
	user, host := s.names()
	return dbserver.Quote(user) + "@" + dbserver.Quote(host)
}
