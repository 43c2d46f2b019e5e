package database

import (
	"slices"
	"strings"
)

// action is what is to be done about a statement of a dump.
type action int

const (
	pass     action = iota // nothing: it does not matter in a fresh schema
	create                 // CREATE TABLE, CREATE SEQUENCE
	insert                 // rows
	setValue               // of a sequence
	object                 // trigger, view, routine, event
)

// statement is one that was understood.
type statement struct {
	action action
	text   string // to be sent
	table  string
	object Object
}

// reader reads the statements of a dump one after the other.
type reader struct {
	*splitter
	settings settings
	source   string          // the schema's name in the dump
	live     string          // its name from now on
	schemas  map[string]bool // on this server, in lower case: what objects may not name
}

// read is the next statement that is to be done; io.EOF after the last. Whatever is not known to be
// written by the dump programs is refused.
func (r *reader) read() (statement, error) {
	for {
		r.literal = r.settings.literal()
		raw, err := r.next()
		if err != nil {
			return statement{}, err
		}
		s, err := r.understand(raw)
		if err != nil || s.action != pass {
			return s, err
		}
	}
}

const insertInto = "INSERT INTO `"

func (r *reader) understand(raw string) (statement, error) {
	if strings.HasPrefix(raw, insertInto) {
		if err := r.settings.data(); err != nil {
			return statement{}, err
		}
		table, err := checkInsert(raw)
		return statement{action: insert, text: raw, table: table}, err
	}
	t, err := tokenize(raw, r.settings.literal())
	if err != nil || len(t.list) == 0 {
		return statement{}, err
	}
	switch {
	case t.match(0, "SET"):
		return statement{}, r.settings.set(t)
	case t.match(0, "CREATE"):
		return r.create(t)
	case t.match(0, "DROP"):
		return statement{}, dropped(t)
	case t.match(0, "DO SETVAL ("):
		return sequenceValue(t)
	case t.match(0, "ALTER DATABASE"):
		return statement{}, r.alterDatabase(t)
	case harmlessStatement(t):
		return statement{}, nil
	}
	return statement{}, refusedError(kindOf(t))
}

// kindOf names a statement by its first word, if that is one.
func kindOf(t tokens) string {
	kind := strings.ToUpper(t.at(0).value)
	if t.at(0).kind != word || len(kind) > 20 || strings.Trim(kind, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") != "" {
		return "none that begins with a keyword"
	}
	if next := strings.ToUpper(t.at(1).value); slices.Contains(objectWords, next) {
		kind += " " + next
	}
	return kind
}

var objectWords = []string{"DATABASE", "SCHEMA", "TABLE", "USER", "ROLE", "SERVER", "VIEW", "DATA", "TABLES", "PLUGIN", "INSTANCE"}

// harmlessStatement are the statements around the data. In a schema that nobody else uses they change nothing.
func harmlessStatement(t tokens) bool {
	switch {
	case t.match(0, "LOCK TABLES"), t.match(0, "LOCK TABLE"):
		return t.at(2).kind == quoted && t.match(3, "WRITE") && len(t.list) == 4
	case t.match(0, "ALTER TABLE"):
		return t.at(2).kind == quoted && (t.match(3, "DISABLE KEYS") || t.match(3, "ENABLE KEYS")) && len(t.list) == 5
	case t.match(0, "UNLOCK TABLES"), t.match(0, "START TRANSACTION"):
		return len(t.list) == 2
	case t.match(0, "COMMIT"), t.match(0, "BEGIN"):
		return len(t.list) == 1
	}
	return false
}

var droppable = []string{"TABLE", "VIEW", "PROCEDURE", "FUNCTION", "EVENT", "TRIGGER", "SEQUENCE", "PACKAGE"}

// dropped passes over DROP … IF EXISTS of one object of the schema, which is empty.
func dropped(t tokens) error {
	i := 2
	if t.match(1, "PACKAGE BODY") {
		i = 3
	}
	if slices.Contains(droppable, strings.ToUpper(t.at(1).value)) && t.match(i, "IF EXISTS") {
		return nil // not sent, so that it does not matter what it names
	}
	return refusedError(kindOf(t))
}

// alterDatabase notes the collation under which an object was made.
func (r *reader) alterDatabase(t tokens) error {
	if t.at(2).kind != quoted || !t.match(3, "CHARACTER SET") || !t.match(6, "COLLATE") || len(t.list) != 8 {
		return refusedError("ALTER DATABASE")
	}
	r.settings.database = strings.ToLower(t.at(7).value)
	return nil
}

// sequenceValue is how MariaDB's dump sets a sequence: DO SETVAL(`name`, number, number).
func sequenceValue(t tokens) (statement, error) {
	number := func(i int) bool { return t.at(i).kind == word && strings.Trim(t.at(i).value, "0123456789") == "" }
	i := 6 // behind the first number, with an optional minus
	if t.match(5, "-") {
		i++
	}
	if t.at(3).kind != quoted || !t.match(4, ",") || !number(i-1) || !t.match(i, ",") || !number(i+1) || !t.match(i+2, ")") || len(t.list) != i+3 {
		return statement{}, refusedError("DO")
	}
	return statement{action: setValue, text: t.text, table: t.at(3).value}, nil
}
