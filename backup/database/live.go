package database

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/internal/dbserver"
)

// listed is an object as information_schema lists it.
type listed struct{ kind, name, table string }

// listQuery lists all objects of a schema, in the order in which they can be dropped, and triggers of one
// table and event in their order of running.
const listQuery = "SELECT 'EVENT', EVENT_NAME, '', 1, 0 FROM information_schema.EVENTS WHERE EVENT_SCHEMA = ?" +
	" UNION ALL SELECT 'TRIGGER', TRIGGER_NAME, EVENT_OBJECT_TABLE, 2, ACTION_ORDER FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = ?" +
	" UNION ALL SELECT 'VIEW', TABLE_NAME, '', 3, 0 FROM information_schema.VIEWS WHERE TABLE_SCHEMA = ?" +
	" UNION ALL SELECT ROUTINE_TYPE, ROUTINE_NAME, '', 4, 0 FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = ?" +
	" ORDER BY 4, 5, 2"

func listObjects(ctx context.Context, on querier, schema string) (objects []listed, err error) {
	rows, err := on.QueryContext(ctx, listQuery, schema, schema, schema, schema)
	if err != nil {
		return nil, fmt.Errorf("list triggers, views, routines and events of schema %s: %w", schema, err)
	}
	defer rows.Close()
	for rows.Next() {
		var o listed
		var group, order int
		if err := rows.Scan(&o.kind, &o.name, &o.table, &group, &order); err != nil {
			return nil, err
		}
		objects = append(objects, o)
	}
	return objects, rows.Err()
}

// belongs says whether an object goes with the site's tables.
func (c Scope) belongs(o listed) bool {
	if o.kind == kindTrigger {
		return c.site(o.table)
	}
	return !c.Shared()
}

// liveObjects reads the site's objects of the live schema as they can be made again, in their order of
// making: triggers of one table and event follow each other.
func liveObjects(ctx context.Context, conn *sql.Conn, schema string, scope Scope) (objects []Object, err error) {
	all, err := listObjects(ctx, conn, schema)
	if err != nil {
		return nil, err
	}
	if _, err := conn.ExecContext(ctx, "USE "+dbserver.Quote(schema)); err != nil {
		return nil, err
	}
	for _, o := range all {
		if !scope.belongs(o) {
			continue
		}
		read, err := readObject(ctx, conn, o)
		if err != nil {
			return nil, fmt.Errorf("read %s %s: %w", strings.ToLower(o.kind), o.name, err)
		}
		objects = append(objects, read)
	}
	return objects, nil
}

// readObject asks for one object in the bytes it was made of: results are not converted, and those of a view
// in the character set that it was made in, as mysqldump does.
func readObject(ctx context.Context, conn *sql.Conn, o listed) (Object, error) {
	results := "NULL"
	if o.kind == kindView {
		row := conn.QueryRowContext(ctx, "SELECT CHARACTER_SET_CLIENT FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?", o.name)
		if err := row.Scan(&results); err != nil {
			return Object{}, err
		}
		results = dbserver.Quote(results)
	}
	if _, err := conn.ExecContext(ctx, "SET SESSION character_set_results = "+results); err != nil {
		return Object{}, err
	}
	columns, err := readRow(ctx, conn, "SHOW CREATE "+o.kind+" "+dbserver.Quote(o.name))
	if _, reset := conn.ExecContext(ctx, "SET SESSION character_set_results = utf8mb4"); err == nil {
		err = reset
	}
	if err != nil {
		return Object{}, err
	}
	read := Object{
		Kind: o.kind, Name: o.name, Table: o.table, SQLMode: columns["sql_mode"], Client: columns["character_set_client"],
		Connection: columns["collation_connection"], Database: columns["Database Collation"], TimeZone: columns["time_zone"],
	}
	for name, value := range columns {
		if strings.HasPrefix(name, "Create ") || name == "SQL Original Statement" {
			read.Tail = []byte(value)
		}
	}
	if len(read.Tail) == 0 {
		return Object{}, fmt.Errorf("this account may not see its text: it needs the right to read mysql.proc (MariaDB) or SHOW_ROUTINE (MySQL)")
	}
	return read, nil
}

// readRow reads one row by the names of its columns.
func readRow(ctx context.Context, conn *sql.Conn, query string) (map[string]string, error) {
	rows, err := conn.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	values := make([]sql.NullString, len(names))
	places := make([]any, len(names))
	for i := range values {
		places[i] = &values[i]
	}
	if !rows.Next() {
		return nil, sql.ErrNoRows
	}
	if err := rows.Scan(places...); err != nil {
		return nil, err
	}
	found := map[string]string{}
	for i, name := range names {
		found[name] = values[i].String
	}
	return found, rows.Err()
}

// dropObjects drops the site's objects of a schema.
func dropObjects(ctx context.Context, conn *sql.Conn, schema string, scope Scope) error {
	all, err := listObjects(ctx, conn, schema)
	if err != nil {
		return err
	}
	// A package goes with its body.
	all = slices.DeleteFunc(all, func(o listed) bool { return !scope.belongs(o) || o.kind == kindPackageBody })
	for _, o := range all {
		if _, err := conn.ExecContext(ctx, "DROP "+o.kind+" IF EXISTS "+qualified(schema, o.name)); err != nil {
			return fmt.Errorf("drop %s %s: %w", strings.ToLower(o.kind), o.name, err)
		}
	}
	return nil
}
