package database

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// move is one table that goes from a schema to another.
type move struct{ table, from, to string }

type moves []move

// statement is the one RENAME TABLE of all moves, in their order.
func (m moves) statement() string {
	parts := make([]string, len(m))
	for i, move := range m {
		parts[i] = qualified(move.from, move.table) + " TO " + qualified(move.to, move.table)
	}
	return "RENAME TABLE " + strings.Join(parts, ", ")
}

// tables are those that leave a schema.
func (m moves) tables(from string) []string {
	names := []string{}
	for _, move := range m {
		if move.from == from && move.table != marker {
			names = append(names, move.table)
		}
	}
	return names
}

// plan says which tables move: out of the live schema what is the site's, into it all that was staged,
// unless somebody else's table of that name is there. The marker comes last.
func (e exchanger) plan(ctx context.Context) (moves, error) {
	x := e.x
	live, err := tablesOf(ctx, e.conn, x.DB)
	if err != nil {
		return nil, err
	}
	staged, err := tablesOf(ctx, e.conn, x.staged())
	if err != nil {
		return nil, err
	}
	var plan moves
	stays := map[string]bool{}
	for _, table := range live {
		if x.Scope.site(table) {
			plan = append(plan, move{table, x.DB, x.old()})
		} else {
			stays[table] = true
		}
	}
	out := plan.tables(x.DB)
	for _, table := range staged {
		if !stays[table] {
			plan = append(plan, move{table, x.staged(), x.DB})
		}
	}
	return append(plan, move{marker, x.staged(), x.old()}), e.crossing(ctx, out)
}

// crossing refuses tables that a foreign key ties to one that stays: RENAME would take the key's end along.
func (e exchanger) crossing(ctx context.Context, out []string) error {
	keys, err := column(ctx, e.conn, "SELECT DISTINCT CONCAT(TABLE_NAME, '\n', REFERENCED_TABLE_NAME) FROM information_schema.KEY_COLUMN_USAGE"+
		" WHERE TABLE_SCHEMA = ? AND REFERENCED_TABLE_SCHEMA = ?", e.x.DB, e.x.DB)
	if err != nil {
		return fmt.Errorf("list foreign keys: %w", err)
	}
	for _, key := range keys {
		table, referenced, _ := strings.Cut(key, "\n")
		if slices.Contains(out, table) != slices.Contains(out, referenced) {
			return fmt.Errorf("a foreign key ties table %s to %s, of which one is this site's and the other is not: drop it and make it again after the restore", table, referenced)
		}
	}
	return nil
}
