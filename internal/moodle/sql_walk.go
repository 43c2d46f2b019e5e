package moodle

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/internal/dbserver"
)

// walkRows is how many rows one statement of a walk goes through: some ten milliseconds of a small server, after which the
// connection is free for a scrape. Tables of many million rows exist, and a statement may take five seconds at most.
const walkRows = 5_000

// walk adds up expressions over a table, in the order of its ids and a few rows at a time, so that no table is too
// large for it. The sums are not those of one moment.
type walk struct {
	table   string
	columns string   // those that sums needs, with id
	sums    []string // expressions that are numbers for each row
	values  []any    // what the ? in sums stand for
	upTo    int64    // the last id; 0: to the end of the table
}

// over walks from the first row after the id given. With each part it hands over the id that it has come to, and the
// sums of the part, the number of its rows first.
func (w walk) over(ctx context.Context, db *dbserver.Connection, site *Site, after int64, add func(last int64, sums []float64)) error {
	if w.upTo == 0 {
		w.upTo = math.MaxInt64
	}
	var query strings.Builder
	query.WriteString("SELECT COALESCE(MAX(id), 0), COUNT(*)")
	for _, sum := range w.sums {
		query.WriteString(", COALESCE(SUM(" + sum + "), 0)")
	}
	fmt.Fprintf(&query, " FROM (SELECT %s FROM %s WHERE id > ? AND id <= ? ORDER BY id LIMIT %d) part", w.columns, site.quoted(w.table), walkRows)
	for {
		sums := make([]float64, 1+len(w.sums))
		into := []any{&after}
		for i := range sums {
			into = append(into, &sums[i])
		}
		values := append(append([]any{}, w.values...), after, w.upTo)
		if err := site.readRow(ctx, db, query.String(), values, into...); err != nil {
			return err
		}
		if sums[0] > 0 {
			add(after, sums)
		}
		if sums[0] < walkRows {
			return nil
		}
	}
}

// newest is the largest id of a table, 0 for an empty one.
func (s *Site) newest(ctx context.Context, db *dbserver.Connection, table string) (id int64, err error) {
	err = s.readRow(ctx, db, "SELECT COALESCE(MAX(id), 0) FROM "+s.quoted(table), nil, &id)
	return id, err
}

// readRow makes a query that has one row.
func (s *Site) readRow(ctx context.Context, db *dbserver.Connection, query string, values []any, into ...any) error {
	return db.Use(ctx, func(ctx context.Context, conn *sql.Conn) error {
		return conn.QueryRowContext(ctx, query, values...).Scan(into...)
	})
}
