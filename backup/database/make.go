package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/internal/dbserver"
)

// maker makes triggers, views, routines and events in a schema.
type maker struct {
	conn     *sql.Conn
	schema   string
	siteUser string // whose account takes the place of definers that are not to be had
	log      *slog.Logger
	accounts map[string]bool // user@host, quoted, that exist; nil where they may not be listed
}

// order of making: views may call functions, triggers and events use all of the others.
var order = []string{kindPackage, kindPackageBody, kindFunction, kindProcedure, kindView, kindTrigger, kindEvent}

// make makes those objects that are missing. What stands there is left as it is, so that an interrupted making can be
// gone on with. Views may stand on others: they are tried until no more of them can be made.
func (m *maker) make(ctx context.Context, objects []Object) error {
	there, err := listObjects(ctx, m.conn, m.schema)
	if err != nil {
		return err
	}
	missing := slices.DeleteFunc(slices.Clone(objects), func(o Object) bool {
		return slices.ContainsFunc(there, func(l listed) bool { return l.kind == o.Kind && strings.EqualFold(l.name, o.Name) })
	})
	slices.SortStableFunc(missing, func(a, b Object) int { return slices.Index(order, a.Kind) - slices.Index(order, b.Kind) })
	if len(missing) == 0 {
		return nil
	}
	if err := m.listAccounts(ctx); err != nil {
		return err
	}
	if _, err := m.conn.ExecContext(ctx, "USE "+dbserver.Quote(m.schema)); err != nil {
		return err
	}
	for len(missing) > 0 {
		left, failed := m.round(ctx, missing)
		if len(left) == len(missing) || ctx.Err() != nil {
			return failed
		}
		missing = left
	}
	return m.reset(ctx)
}

// round tries each of the objects, and returns those that could not be made yet.
func (m *maker) round(ctx context.Context, objects []Object) (left []Object, failed error) {
	for _, o := range objects {
		err := m.one(ctx, o)
		if err != nil {
			left = append(left, o)
			failed = errors.Join(failed, fmt.Errorf("create %s %s: %w", strings.ToLower(o.Kind), o.Name, err))
		}
	}
	return left, failed
}

// one makes an object under the settings that it was made under before.
func (m *maker) one(ctx context.Context, o Object) error {
	settings := []string{"SET SESSION sql_mode = " + quoteText(o.SQLMode)}
	for name, value := range map[string]string{"character_set_client": o.Client, "collation_connection": o.Connection, "time_zone": o.TimeZone} {
		if value != "" {
			settings = append(settings, "SET SESSION "+name+" = "+quoteText(value))
		}
	}
	if err := m.reset(ctx); err != nil {
		return err
	}
	back, err := m.collation(ctx, o.Database)
	if err != nil {
		return err
	}
	definer, err := m.definer(o)
	if err != nil {
		return err
	}
	for _, statement := range append(settings, o.statement(definer)) {
		if _, err = m.conn.ExecContext(ctx, statement); err != nil {
			break
		}
	}
	return errors.Join(discreet(err), m.reset(ctx), back())
}

// reset puts the connection back into its own state.
func (m *maker) reset(ctx context.Context) error {
	_, err := m.conn.ExecContext(ctx, "SET SESSION character_set_client = utf8mb4, collation_connection = utf8mb4_general_ci, sql_mode = '', time_zone = DEFAULT")
	return err
}

// collation gives the schema the one under which an object was made, and returns how to undo that.
func (m *maker) collation(ctx context.Context, wanted string) (back func() error, err error) {
	nothing := func() error { return nil }
	var now string
	row := m.conn.QueryRowContext(ctx, "SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = ?", m.schema)
	if err := row.Scan(&now); err != nil || wanted == "" || wanted == now {
		return nothing, err
	}
	alter := func(to string) error {
		_, err := m.conn.ExecContext(ctx, "ALTER DATABASE "+dbserver.Quote(m.schema)+" COLLATE "+quoteText(to))
		return err
	}
	return func() error { return alter(now) }, alter(wanted)
}

// listAccounts learns which definers there are. Who may not look takes all for real: the server then warns,
// or refuses an account that is not to be had.
func (m *maker) listAccounts(ctx context.Context) error {
	names, err := column(ctx, m.conn, "SELECT CONCAT('`', REPLACE(User, '`', '``'), '`@`', REPLACE(Host, '`', '``'), '`') FROM mysql.user")
	if err != nil {
		return ctx.Err()
	}
	m.accounts = map[string]bool{}
	for _, name := range names {
		m.accounts[name] = true
	}
	return nil
}

// errDefiner is an object that nobody unprivileged is there for.
var errDefiner = errors.New("it runs SQL that it puts together, and no account of the site is there in whose name it could do no harm")

// definer is the account that an object runs as: the one it names, where that exists. Else it is the site's
// own, or, for triggers and events, for which the site's account may lack the right, whoever makes them.
func (m *maker) definer(o Object) (string, error) {
	account := dbserver.Quote(o.User) + "@" + dbserver.Quote(o.Host)
	switch {
	case len(o.Head) == 0 || o.User == "" && !o.NeedsNoRights:
		return "", nil // a live one, made again as it was, or one that names no definer
	case o.NeedsNoRights && o.User != m.siteUser:
		if site := m.siteAccount(); site != "" {
			m.note(o, account, site)
			return site, nil
		}
		return "", errDefiner
	case o.Host == "" || m.accounts == nil || m.accounts[account]:
		if o.Host == "" {
			account = dbserver.Quote(o.User)
		}
		return account, nil
	}
	instead := "CURRENT_USER"
	if site := m.siteAccount(); site != "" && o.Kind != kindTrigger && o.Kind != kindEvent {
		instead = site
	}
	m.note(o, account, instead)
	return instead, nil
}

func (m *maker) note(o Object, was, is string) {
	m.log.Warn("an object gets another definer: the one it had is not there, or must not run it", "kind", strings.ToLower(o.Kind), "name", o.Name, "was", was, "is", is)
}

// siteAccount is one of the accounts with the site's user name.
func (m *maker) siteAccount() string {
	var found []string
	for account := range m.accounts {
		if strings.HasPrefix(account, dbserver.Quote(m.siteUser)+"@") {
			found = append(found, account)
		}
	}
	slices.Sort(found)
	return strings.Join(found[:min(len(found), 1)], "")
}
