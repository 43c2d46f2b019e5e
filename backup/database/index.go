package database

import (
	"context"
	"database/sql"
	"errors"
	"regexp"
	"slices"
	"strings"
)

// indexes are those that a table does without while its rows are loaded: inserting into eight trees at random
// places is five times slower than sorting their entries once (measured on a log table of 118 MB).
type indexes struct {
	before []string // SHOW CREATE TABLE, line by line
	added  []string // definitions of what was taken
}

var (
	indexLine     = regexp.MustCompile("(?s)^  ((?:UNIQUE )?KEY (`(?:[^`]|``)+`) .*)$")
	autoIncrement = regexp.MustCompile(` AUTO_INCREMENT=[0-9]+`)
)

// fixed marks tables that are loaded as they are: what belongs to foreign keys, computed columns and indexes
// of other kinds than a sorted tree is not taken apart.
var fixed = []string{"FOREIGN KEY ", " GENERATED ALWAYS ", "FULLTEXT KEY ", "SPATIAL KEY ", "VECTOR KEY ", " PERIOD FOR "}

// take drops the secondary indexes of an empty table.
func (x *indexes) take(ctx context.Context, conn *sql.Conn, schema, name string) error {
	lines, err := definition(ctx, conn, schema, name)
	if err != nil {
		return err
	}
	whole := strings.Join(lines, "\n")
	if !strings.Contains(whole, ") ENGINE=InnoDB") || slices.ContainsFunc(fixed, func(part string) bool { return strings.Contains(whole, part) }) {
		return nil
	}
	var added, dropped []string
	for _, line := range lines {
		found := indexLine.FindStringSubmatch(strings.TrimSuffix(line, ","))
		if found != nil && !strings.Contains(line, " USING HASH") {
			added = append(added, "ADD "+found[1])
			dropped = append(dropped, "DROP KEY "+found[2])
		}
	}
	if len(added) == 0 {
		return nil
	}
	_, err = conn.ExecContext(ctx, "ALTER TABLE "+qualified(schema, name)+" "+strings.Join(dropped, ", "))
	if hasNumber(err, errorNoSuchFK, errorAutoColumn) {
		return nil // they stay, and the table loads more slowly
	}
	if err == nil {
		x.before, x.added = lines, added
	}
	return err
}

// give builds the indexes, and makes sure that the table is as it was.
func (x *indexes) give(ctx context.Context, conn *sql.Conn, schema, name string) error {
	if x.added == nil {
		return nil
	}
	if _, err := conn.ExecContext(ctx, "ALTER TABLE "+qualified(schema, name)+" "+strings.Join(x.added, ", ")); err != nil {
		return err
	}
	after, err := definition(ctx, conn, schema, name)
	if err != nil {
		return err
	}
	if !slices.Equal(x.before, after) {
		return errOtherwise
	}
	return nil
}

// errOtherwise would be a mistake in this program, or a server that is new to it.
var errOtherwise = errors.New("the table is not as it was before its indexes were built anew")

// definition is SHOW CREATE TABLE by lines, without the next AUTO_INCREMENT, which grows with the rows. A
// name or comment that holds a line's end is not torn: lines are parted outside of quotes.
func definition(ctx context.Context, conn querier, schema, name string) ([]string, error) {
	var table, text string
	if err := conn.QueryRowContext(ctx, "SHOW CREATE TABLE "+qualified(schema, name)).Scan(&table, &text); err != nil {
		return nil, err
	}
	var lines []string
	begin := 0
	t := tokens{text: text}
	for i := 0; i < len(text); {
		switch text[i] {
		case '`', '\'', '"':
			i = t.readQuoted(i, false).to
		case '\n':
			lines = append(lines, text[begin:i])
			i++
			begin = i
		default:
			i++
		}
	}
	last := autoIncrement.ReplaceAllString(text[begin:], "")
	return append(lines, last), nil
}
