package dbserver

import (
	"context"
	"database/sql"
	"fmt"
)

// SchemaBytes is the size of a schema's data and indexes as the server estimates it. An account sees only
// tables that it may read: none at all is an error, not a size of 0.
func SchemaBytes(ctx context.Context, conn *sql.Conn, schema string) (float64, error) {
	var tables int
	var bytes float64
	row := conn.QueryRowContext(ctx, "SELECT COUNT(*), COALESCE(SUM(DATA_LENGTH + INDEX_LENGTH), 0)"+
		" FROM information_schema.TABLES WHERE TABLE_SCHEMA = ?", schema)
	if err := row.Scan(&tables, &bytes); err != nil {
		return 0, fmt.Errorf("read size of schema %s: %w", schema, err)
	}
	if tables == 0 {
		return 0, fmt.Errorf("schema %s shows no tables: it is empty, or the exporter's account may not read it (config grants prints the statements)", schema)
	}
	return bytes, nil
}
