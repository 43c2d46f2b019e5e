package database

import (
	"slices"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/internal/dbserver"
)

// engines that keep their rows in the schema's own files.
var engines = []string{"InnoDB", "MyISAM", "Aria", "MEMORY", "ARCHIVE", "CSV", "RocksDB", "TokuDB"}

// tableWords reach out of the schema, wherever they stand in CREATE TABLE.
var tableWords = []string{"SELECT", "DIRECTORY", "CONNECTION", "UNION", "INTO", "LOAD_FILE", "OUTFILE", "DUMPFILE", "TABLE_TYPE", "TABNAME"}

// table understands CREATE TABLE and CREATE SEQUENCE.
func (r *reader) table(t tokens, kind string) (statement, error) {
	refused := refusedError("CREATE " + kind + " that reaches out of the schema")
	if len(t.wrappers) > 0 && t.wrappers[0][0] == 0 {
		return statement{}, nil // holds the place of a view in dumps of older programs
	}
	if t.at(2).kind != quoted || t.match(3, "LIKE") || t.match(4, "LIKE") {
		return statement{}, refused
	}
	name := t.at(2).value
	for i := 3; i < len(t.list); i++ {
		token := t.at(i)
		switch {
		case token.kind == word && slices.ContainsFunc(tableWords, token.is):
			return statement{}, refused
		case token.is(".") && !number(t.at(i-1)):
			return statement{}, refused
		case token.is("ENGINE"):
			engine := t.at(i + 1)
			if engine.is("=") {
				engine = t.at(i + 2)
			}
			if !slices.ContainsFunc(engines, engine.is) {
				return statement{}, refusedError("CREATE TABLE with a storage engine that keeps rows elsewhere")
			}
		}
	}
	return statement{action: create, text: t.text, table: name}, nil
}

func number(t token) bool { return t.kind == word && t.value[0] >= '0' && t.value[0] <= '9' }

// bodyWords and bodyPairs give rights, read and write files or change the server. They are keywords that must
// be quoted to be names, or that nobody names anything by.
var bodyWords = []string{"GRANT", "REVOKE", "OUTFILE", "DUMPFILE", "INFILE", "LOAD_FILE", "SHUTDOWN", "SONAME"}

var bodyPairs = []string{
	"SET GLOBAL", "SET PASSWORD", "SET PERSIST", "@ @ GLOBAL", "@ @ PERSIST", "INSTALL PLUGIN", "INSTALL SONAME", "INSTALL COMPONENT",
	"UNINSTALL PLUGIN", "UNINSTALL SONAME", "UNINSTALL COMPONENT", "CREATE USER", "CREATE ROLE", "CREATE DATABASE", "CREATE SCHEMA",
	"CREATE SERVER", "DROP USER", "DROP ROLE", "DROP DATABASE", "DROP SCHEMA", "DROP SERVER", "ALTER USER", "ALTER DATABASE", "ALTER SCHEMA",
	"ALTER SERVER", "RENAME USER", "SET DEFAULT ROLE", "SET ROLE",
}

// guard refuses an object that would reach out of the schema once it runs, perhaps with more rights than
// those of whoever wrote the dump. A name of another schema of this server is refused wherever it qualifies
// something.
func (r *reader) guard(o *Object, t tokens, from int) error {
	refused := refusedError("CREATE " + o.Kind + " that reaches out of the schema")
	for i := from; i < len(t.list); i++ {
		token := t.at(i)
		matches := func(pair string) bool { return t.match(i, pair) }
		switch {
		case token.kind == word && slices.ContainsFunc(bodyWords, token.is), slices.ContainsFunc(bodyPairs, matches):
			return refused
		case t.match(i, "PREPARE"), t.match(i, "EXECUTE IMMEDIATE"):
			o.NeedsNoRights = true
		case t.qualifies(i) && !r.own(token.value) && r.schemas[strings.ToLower(token.value)]:
			return refused
		}
	}
	return nil
}

// qualifies says whether a token is the first part of a name of several.
func (t tokens) qualifies(i int) bool {
	return (t.at(i).name() || t.at(i).kind == text) && t.at(i+1).is(".") && (i == 0 || !t.at(i-1).is("."))
}

// renamed is the statement's text from a place on, with the schema's name of today in the place of the one it
// had when it was dumped.
func (r *reader) renamed(t tokens, from int) string {
	if r.live == "" || r.live == r.source {
		return t.slice(from, len(t.text))
	}
	var out strings.Builder
	for i, token := range t.list {
		if token.from >= from && t.qualifies(i) && r.own(token.value) {
			out.WriteString(t.slice(from, token.from) + " " + dbserver.Quote(r.live))
			from = token.to
		}
	}
	out.WriteString(t.slice(from, len(t.text)))
	return out.String()
}
