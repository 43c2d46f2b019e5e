package backup

import (
	"context"
	"fmt"
	"strings"
)

// schema is what information_schema says about the site's database, as this account sees it.
type schema struct {
	Tables, Views, Triggers, Routines, Events int64

	charset, collation string
	version, comment   string // of the server
	maxAllowedPacket   int64
	bytes              int64    // of data and indexes
	foreign            []string // tables, with engine, that a transaction does not protect
	hidden             int64    // routines whose text this account may not see
}

// transactional are the storage engines whose rows stand still inside one transaction.
const transactional = "'InnoDB','RocksDB','ROCKSDB','TokuDB','MEMORY','BLACKHOLE'"

func (s *session) schema(ctx context.Context) (found schema, err error) {
	for _, question := range []struct {
		query string
		to    []any
	}{
		{"SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME, VERSION(), @@version_comment, @@max_allowed_packet " +
			"FROM information_schema.SCHEMATA WHERE SCHEMA_NAME=?",
			[]any{&found.charset, &found.collation, &found.version, &found.comment, &found.maxAllowedPacket}},
		{"SELECT COALESCE(SUM(TABLE_TYPE IN ('BASE TABLE','SYSTEM VERSIONED')),0), COALESCE(SUM(TABLE_TYPE='VIEW'),0), " +
			"CAST(COALESCE(SUM(DATA_LENGTH),0) AS SIGNED) FROM information_schema.TABLES WHERE TABLE_SCHEMA=?",
			[]any{&found.Tables, &found.Views, &found.bytes}},
		{"SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA=?", []any{&found.Triggers}},
		{"SELECT COUNT(*), COALESCE(SUM(ROUTINE_DEFINITION IS NULL),0) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA=?",
			[]any{&found.Routines, &found.hidden}},
		{"SELECT COUNT(*) FROM information_schema.EVENTS WHERE EVENT_SCHEMA=?", []any{&found.Events}},
	} {
		if err := s.QueryRowContext(ctx, question.query, s.name).Scan(question.to...); err != nil {
			return found, fmt.Errorf("look at database %s: %w", s.name, err)
		}
	}
	found.foreign, err = s.column(ctx, "SELECT CONCAT(TABLE_NAME, ' (', ENGINE, ')') FROM information_schema.TABLES "+
		"WHERE TABLE_SCHEMA=? AND TABLE_TYPE='BASE TABLE' AND ENGINE IS NOT NULL AND ENGINE NOT IN ("+transactional+") ORDER BY 1", s.name)
	if err != nil {
		return found, fmt.Errorf("look at database %s: %w", s.name, err)
	}
	return found, nil
}

// kind is MariaDB or MySQL.
func (s schema) kind() string {
	if strings.Contains(s.version+s.comment, "MariaDB") || strings.Contains(s.comment, "mariadb") {
		return "MariaDB"
	}
	return "MySQL"
}

// objects are the counts that a dump must reach.
func (s schema) objects() [5]int64 {
	return [5]int64{s.Tables, s.Views, s.Triggers, s.Routines, s.Events}
}

var objectNames = [5]string{"tables", "views", "triggers", "routines", "events"}

// setting reads one of Moodle's settings from its table config; empty if it is not set.
func (s *session) setting(ctx context.Context, table, name string) (string, error) {
	values, err := s.column(ctx, "SELECT value FROM "+quoteName(table)+" WHERE name=?", name)
	if err != nil {
		return "", fmt.Errorf("read setting %s: %w", name, err)
	}
	return strings.Join(values, ""), nil
}

// plugins are the installed plugins with their versions.
func (s *session) plugins(ctx context.Context, table string) (map[string]string, error) {
	rows, err := s.QueryContext(ctx, "SELECT plugin, value FROM "+quoteName(table)+" WHERE name='version'")
	if err != nil {
		return nil, fmt.Errorf("list plugins: %w", err)
	}
	defer rows.Close()
	plugins := map[string]string{}
	for rows.Next() {
		var plugin, version string
		if err := rows.Scan(&plugin, &version); err != nil {
			return nil, fmt.Errorf("list plugins: %w", err)
		}
		plugins[plugin] = version
	}
	return plugins, rows.Err()
}

// quoteName quotes an identifier for SQL.
func quoteName(name string) string { return "`" + strings.ReplaceAll(name, "`", "``") + "`" }
