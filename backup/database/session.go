package database

import (
	"slices"
	"strings"
)

// settings are what the SET statements of a dump have put in force. They are read, never run: the data is
// loaded under settings of our own, and triggers and their like are made under those that they name.
type settings struct {
	names     string // SET NAMES
	client    string // character_set_client; empty as SET NAMES said
	collation string // collation_connection
	sqlMode   string
	timeZone  string
	database  string // collation of the schema, where ALTER DATABASE changed it for an object
}

// dumpMode is the sql_mode of a dump's data.
const dumpMode = "NO_AUTO_VALUE_ON_ZERO"

// newSettings are those at the beginning of a dump.
func newSettings() settings { return settings{names: "utf8mb4", sqlMode: dumpMode, timeZone: "+00:00"} }

// literal says whether a backslash is a character like any other now.
func (s settings) literal() bool {
	return strings.Contains(strings.ToUpper(s.sqlMode), "NO_BACKSLASH_ESCAPES")
}

// harmless are the variables that dumps set besides, which nothing here depends on.
var harmless = []string{"unique_checks", "foreign_key_checks", "sql_notes", "note_verbosity", "character_set_results", "sql_log_bin", "system_versioning_insert_history"}

// set takes in SET a=b, @c=d, NAMES e.
func (s *settings) set(t tokens) error {
	for i := 1; i < len(t.list); {
		if t.at(i).is("NAMES") {
			s.names, s.client, s.collation = strings.ToLower(t.at(i+1).value), "", ""
			i += 2
		} else {
			next, err := s.assign(t, i)
			if err != nil {
				return err
			}
			i = next
		}
		if i < len(t.list) && !t.at(i).is(",") {
			return refusedError("SET")
		}
		i++
	}
	return nil
}

// assign takes in one assignment, and returns the place behind it.
func (s *settings) assign(t tokens, i int) (int, error) {
	user := false
	if t.match(i, "@ @") {
		i += 2
	} else if t.match(i, "@") {
		user = true
		i++
	}
	if t.match(i, "SESSION") && !user {
		i++
		if t.match(i, ".") {
			i++
		}
	}
	name := strings.ToLower(t.at(i).value)
	if !t.at(i).name() || !t.match(i+1, "=") {
		return 0, refusedError("SET")
	}
	value, kept, next := t.value(i + 2)
	if next == 0 {
		return 0, refusedError("SET")
	}
	if user {
		return next, nil
	}
	return next, s.put(name, value, kept)
}

// value reads the right side of an assignment: a word, a number or a string, or a variable that was kept.
func (t tokens) value(i int) (value string, kept bool, next int) {
	for t.match(i, "@") {
		kept = true
		i++
	}
	prefix := ""
	if !kept && (t.match(i, "+") || t.match(i, "-")) {
		prefix = t.at(i).value
		i++
	}
	if !t.at(i).name() && t.at(i).kind != text {
		return "", false, 0
	}
	return prefix + t.at(i).value, kept, i + 1
}

// put changes one variable; one that was kept gets the value from the beginning again.
func (s *settings) put(name, value string, kept bool) error {
	base := newSettings()
	for _, variable := range []struct {
		name     string
		to       *string
		original string
	}{
		{"character_set_client", &s.client, ""}, {"collation_connection", &s.collation, ""},
		{"sql_mode", &s.sqlMode, base.sqlMode}, {"time_zone", &s.timeZone, base.timeZone},
	} {
		if variable.name != name {
			continue
		}
		*variable.to = value
		if kept {
			*variable.to = variable.original
		}
		return nil
	}
	if slices.Contains(harmless, name) {
		return nil
	}
	return refusedError("SET of a variable that dumps do not set")
}

// readable are the character sets that a connection in utf8mb4 reads the same.
var readable = []string{"utf8mb4", "utf8", "utf8mb3", "binary", ""}

// data refuses a dump whose rows are not written as they will be read.
func (s settings) data() error {
	switch {
	case !slices.Contains(readable, s.names), !slices.Contains(readable, strings.ToLower(s.client)):
		return refusedError("rows in another character set than utf8mb4")
	case s.literal():
		return refusedError("rows in sql_mode NO_BACKSLASH_ESCAPES")
	case s.timeZone != "+00:00":
		return refusedError("rows in another time zone than +00:00")
	}
	return nil
}
