package main

import (
	"context"
	"database/sql"
	"fmt"
)

// bulk lets the server itself make many rows of one of the site's tables, from its table of all numbers (the engine
// SEQUENCE). Indexes come last, which is much faster, and end up the same.
func (h *host) bulk(ctx context.Context, table, columns, rows string) error {
	pool, err := sql.Open("mysql", h.database.RootDSN(h.site.Database))
	if err != nil {
		return err
	}
	defer func() { _ = pool.Close() }()
	pool.SetMaxOpenConns(1) // the settings are those of a session
	drop, add, err := indexes(ctx, pool, h.site.Prefix+table)
	if err != nil {
		return err
	}
	name := "`" + h.site.Prefix + table + "`"
	for _, statement := range []string{
		"SET unique_checks = 0, foreign_key_checks = 0", "ALTER TABLE " + name + " " + drop,
		"INSERT INTO " + name + " " + columns + " " + rows, "ALTER TABLE " + name + " " + add, "ANALYZE TABLE " + name,
	} {
		if _, err := pool.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("make many rows of %s: %w", table, err)
		}
	}
	return nil
}

// indexes are the clauses of ALTER TABLE that drop the secondary indexes of a table, and make them again.
func indexes(ctx context.Context, pool *sql.DB, table string) (drop, add string, err error) {
	row := pool.QueryRowContext(ctx, "SELECT GROUP_CONCAT('DROP INDEX `', name, '`'), GROUP_CONCAT('ADD ', kind, ' `', name, '` (', columns, ')') FROM ("+
		"SELECT INDEX_NAME name, IF(NON_UNIQUE, 'INDEX', 'UNIQUE INDEX') kind, GROUP_CONCAT(COLUMN_NAME ORDER BY SEQ_IN_INDEX) columns"+
		" FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ? AND INDEX_NAME <> 'PRIMARY' GROUP BY INDEX_NAME, NON_UNIQUE) i", table)
	if err := row.Scan(&drop, &add); err != nil {
		return "", "", fmt.Errorf("read the indexes of %s: %w", table, err)
	}
	return drop, add, nil
}
