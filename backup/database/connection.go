package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"regexp"

	"github.com/go-sql-driver/mysql"

	"github.com/moodle-exporter/moodle-exporter/internal/dbserver"
)

// Error numbers of both products.
const (
	errorLockWait     = 1205 // ER_LOCK_WAIT_TIMEOUT, for metadata locks as well
	errorDeadlock     = 1213
	errorNoSuchThread = 1094
	errorNoSuchFK     = 1553 // ER_DROP_INDEX_FK: a foreign key needs the index
	errorAutoColumn   = 1075 // ER_WRONG_AUTO_KEY: the AUTO_INCREMENT column needs the index
)

func hasNumber(err error, numbers ...uint16) bool {
	var answer *mysql.MySQLError
	if !errors.As(err, &answer) {
		return false
	}
	for _, number := range numbers {
		if answer.Number == number {
			return true
		}
	}
	return false
}

// serverError is what the server said, without the values and statements that it quotes: they may be
// personal data.
type serverError struct{ answer *mysql.MySQLError }

var quotedText = regexp.MustCompile(`(?s)'.*'`)

func (e serverError) Error() string {
	return fmt.Sprintf("the server says (%d): %s", e.answer.Number, quotedText.ReplaceAllString(e.answer.Message, "'…'"))
}

func (e serverError) Unwrap() error { return e.answer }

// discreet keeps content out of an error.
func discreet(err error) error {
	var answer *mysql.MySQLError
	if errors.As(err, &answer) {
		return serverError{answer}
	}
	return err
}

// conn takes a connection of its own and puts it into a state that does not depend on the server's settings.
func (s *Server) conn(ctx context.Context, binlog bool, settings ...string) (*sql.Conn, error) {
	conn, err := s.pool.Conn(ctx)
	if err != nil {
		return nil, err
	}
	statements := append([]string{"SET NAMES utf8mb4", "SET SESSION sql_mode = ''"}, settings...)
	if !binlog {
		statements = append(statements, "SET SESSION sql_log_bin = 0")
	}
	for _, statement := range statements {
		if _, err := conn.ExecContext(ctx, statement); err != nil {
			return nil, errors.Join(fmt.Errorf("prepare a connection: %w", err), drop(conn))
		}
	}
	return conn, nil
}

// drop closes a connection for good, as its settings are not for others.
func drop(conn *sql.Conn) error {
	err := conn.Raw(func(any) error { return driver.ErrBadConn })
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) {
		err = nil
	}
	return errors.Join(err, ignoreDone(conn.Close()))
}

func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrConnDone) {
		return nil
	}
	return err
}

// column reads the first column of all rows.
func column(ctx context.Context, from querier, query string, args ...any) (values []string, err error) {
	rows, err := from.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var value string
		if err := rows.Scan(&value); err != nil {
			return nil, err
		}
		values = append(values, value)
	}
	return values, rows.Err()
}

// querier is a connection, a pool or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// qualified is a table's name with its schema's, quoted.
func qualified(schema, name string) string {
	return dbserver.Quote(schema) + "." + dbserver.Quote(name)
}
