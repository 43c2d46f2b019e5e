package dbserver

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"

	"github.com/go-sql-driver/mysql"
)

// guards are set on every new connection. A statement that waits for a lock gives up after two seconds, and
// one that runs for five is ended by the server itself, even after we have hung up. The comments are
// executed by MariaDB (M!) or by MySQL since 5.7.8 alone: both products document them. max_statement_time is
// in seconds, max_execution_time in milliseconds.
var guards = []string{
	"SET SESSION lock_wait_timeout = 2, innodb_lock_wait_timeout = 2" +
		" /*M!100101 , max_statement_time = 5 */ /*!50708 , max_execution_time = 5000 */",
	"SET SESSION TRANSACTION READ ONLY",
}

var errHungUp = errors.New("the server closed the connection during the login")

// connector opens guarded connections for database/sql.
type connector struct {
	login func() (*mysql.Config, error)
}

// Connect dials, logs in and sets the guards; each of them ends with ctx.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	config, err := c.login()
	if err != nil {
		return nil, err
	}
	conn, err := open(ctx, config)
	if err == nil {
		return conn, nil
	}
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, mysql.ErrInvalidConn):
		err = errHungUp // database/sql would try again at once
	}
	return nil, fmt.Errorf("connect to database server %s as %s: %w", config.Addr, config.User, err)
}

// Driver is part of driver.Connector.
func (c connector) Driver() driver.Driver { return mysql.MySQLDriver{} }

func open(ctx context.Context, config *mysql.Config) (driver.Conn, error) {
	dialer, err := mysql.NewConnector(config)
	if err != nil {
		return nil, err
	}
	conn, err := dialer.Connect(ctx)
	if err != nil {
		return nil, err
	}
	for _, guard := range guards {
		if err := execute(ctx, conn, guard); err != nil {
			return nil, errors.Join(fmt.Errorf("limit the session: %w", err), conn.Close())
		}
	}
	return conn, nil
}

func execute(ctx context.Context, conn driver.Conn, statement string) error {
	executor, ok := conn.(driver.ExecerContext)
	if !ok {
		return errors.ErrUnsupported
	}
	_, err := executor.ExecContext(ctx, statement, nil)
	return err
}
