package database

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/moodle-exporter/moodle-exporter/internal/dbserver"
)

// marker is a table that lies in the staged schema and goes to the old one in the very statement that
// exchanges the tables: where it is tells which tables are live. It holds what an exchange needs to be
// finished or undone by a process that knows nothing else.
const marker = "mxp_exchange"

// Parts of the marker.
const (
	partNew     = "new"     // objects of the dump
	partLive    = "live"    // objects that were live
	partCharset = "charset" // of the live schema
	partIn      = "in"      // tables that go from the staged schema to the live one
	partOut     = "out"     // tables that go from the live schema to the old one
	partSaved   = "saved"   // all of the above is there, and live objects may have been dropped
	partDone    = "done"    // the exchange is complete
)

// entry is one row of the marker.
type entry struct {
	part    string
	content any
}

func makeMarker(ctx context.Context, on querier, schema string) error {
	_, err := on.ExecContext(ctx, "CREATE TABLE IF NOT EXISTS "+qualified(schema, marker)+
		" (id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, part VARCHAR(16) CHARACTER SET ascii NOT NULL, content LONGBLOB NOT NULL) ENGINE=InnoDB")
	return err
}

func note(ctx context.Context, on querier, schema string, entries ...entry) error {
	for _, e := range entries {
		content, err := json.Marshal(e.content)
		if err != nil {
			return err
		}
		_, err = on.ExecContext(ctx, "INSERT INTO "+qualified(schema, marker)+" (part, content) VALUES (?, ?)", e.part, content)
		if err != nil {
			return fmt.Errorf("note in %s: %w", marker, err)
		}
	}
	return nil
}

func forget(ctx context.Context, on querier, schema string, parts ...string) error {
	for _, part := range parts {
		if _, err := on.ExecContext(ctx, "DELETE FROM "+qualified(schema, marker)+" WHERE part = ?", part); err != nil {
			return fmt.Errorf("clear %s: %w", marker, err)
		}
	}
	return nil
}

// noted reads the rows of one part.
func noted[T any](ctx context.Context, on querier, schema, part string) ([]T, error) {
	contents, err := column(ctx, on, "SELECT content FROM "+qualified(schema, marker)+" WHERE part = ? ORDER BY id", part)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", marker, err)
	}
	values := make([]T, len(contents))
	for i, content := range contents {
		if err := json.Unmarshal([]byte(content), &values[i]); err != nil {
			return nil, fmt.Errorf("read %s: %w", marker, err)
		}
	}
	return values, nil
}

// reached says whether a state has been noted.
func reached(ctx context.Context, on querier, schema, part string) (bool, error) {
	states, err := noted[bool](ctx, on, schema, part)
	return len(states) > 0, err
}

// hasMarker says whether the marker lies in a schema.
func hasMarker(ctx context.Context, on querier, schema string) (bool, error) {
	names, err := column(ctx, on, "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_NAME = ?", schema, marker)
	return len(names) > 0, err
}

// tablesOf are the tables and sequences of a schema, without views and the marker.
func tablesOf(ctx context.Context, on querier, schema string) ([]string, error) {
	names, err := column(ctx, on, "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = ?"+
		" AND TABLE_TYPE NOT IN ('VIEW', 'SYSTEM VIEW') AND TABLE_NAME <> ? ORDER BY TABLE_NAME", schema, marker)
	if err != nil {
		return nil, fmt.Errorf("list the tables of schema %s: %w", schema, err)
	}
	return names, nil
}

// makeSchema makes a schema with a character set, if it is not there.
func makeSchema(ctx context.Context, on querier, name, charset, collation string) error {
	_, err := on.ExecContext(ctx, "CREATE DATABASE IF NOT EXISTS "+dbserver.Quote(name)+characterSet(charset, collation))
	if err != nil {
		return fmt.Errorf("create schema %s: %w", name, err)
	}
	return nil
}

func characterSet(charset, collation string) (clause string) {
	if charset != "" {
		clause += " CHARACTER SET " + dbserver.Quote(charset)
	}
	if collation != "" {
		clause += " COLLATE " + dbserver.Quote(collation)
	}
	return clause
}
