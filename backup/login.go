package backup

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// databaseTimeout bounds each single question to the database; counting tables of a large schema on a
// cold server takes its time.
const databaseTimeout = 2 * time.Minute

// session is an open way to the site's database, with the login that the dump will use as well.
type session struct {
	*sql.DB
	login moodle.Login
	name  string // of the schema
}

// connect logs in with the account for backups. Where none is configured and root is not let in over the
// socket, the site's own account is tried.
func connect(ctx context.Context, site *moodle.Site) (*session, error) {
	login, err := site.AdminLogin()
	if err != nil {
		return nil, err
	}
	first, err := open(ctx, login, site.Config.DBName)
	if err == nil || site.Admin != (config.Account{}) {
		return first, err
	}
	second, own := open(ctx, site.ConfigLogin(), site.Config.DBName)
	if own != nil {
		return nil, fmt.Errorf("as %s: %w; as the site's own account: %w", login.User, err, own)
	}
	return second, nil
}

func open(ctx context.Context, login moodle.Login, name string) (*session, error) {
	connector, err := mysql.NewConnector(login.Driver(name, databaseTimeout))
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(2)
	if err := db.PingContext(ctx); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &session{DB: db, login: login, name: name}, nil
}

// column reads the first column of all rows.
func (s *session) column(ctx context.Context, query string, args ...any) (values []string, err error) {
	rows, err := s.QueryContext(ctx, query, args...)
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

// optionFile writes what a client program needs to log in. It is the only option file the program reads:
// a [mysqldump] section or a ~/.my.cnf of this host must not change what is dumped, or as whom.
func optionFile(to io.Writer, login moodle.Login) error {
	lines := []string{"[client]", "user=" + quoteOption(login.User), "password=" + quoteOption(login.Password.Reveal())}
	if login.Network == "unix" {
		lines = append(lines, "socket="+quoteOption(login.Address), "protocol=socket")
	} else {
		host, port, err := net.SplitHostPort(login.Address)
		if err != nil {
			return err
		}
		lines = append(lines, "host="+quoteOption(host), "port="+port, "protocol=tcp")
	}
	_, err := io.WriteString(to, strings.Join(lines, "\n")+"\n")
	return err
}

// quoteOption writes a value for an option file: in double quotes, where # begins no comment, with the
// escapes that the clients' my_default.c undoes.
func quoteOption(value string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "\b", `\b`).Replace(value) + `"`
}

// optionPipe is an option file that exists nowhere on disk: the reading end of a pipe, for the program to
// inherit. It is far smaller than the pipe, so writing does not block.
func optionPipe(login moodle.Login) (*os.File, error) {
	from, to, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	if err := errors.Join(optionFile(to, login), to.Close()); err != nil {
		return nil, errors.Join(err, from.Close())
	}
	return from, nil
}
