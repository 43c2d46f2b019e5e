package database

import (
	"fmt"
	"regexp"
	"strings"
)

// nameLimit leaves room for _mxp_ and an id of 16 characters within the 64 that a schema's name may have.
const nameLimit = 43

// StagedName is the schema that a dump is loaded into. id is that of the restore, letters and digits.
func StagedName(db, id string) string { return scratchName(db, "_mxp_", id) }

// OldName is the schema that keeps what was live before.
func OldName(db, id string) string { return scratchName(db, "_mxo_", id) }

func scratchName(db, kind, id string) string {
	name := []rune(db)
	return string(name[:min(len(name), nameLimit)]) + kind + id
}

// scratch is how the schemas that this package makes, and drops, are called.
var scratch = regexp.MustCompile(`^.+_mx[po]_[0-9A-Za-z]{1,16}$`)

// onlyScratch refuses to work on a schema that is not one of a restore.
func onlyScratch(schema string) error {
	if !scratch.MatchString(schema) {
		return fmt.Errorf("refused: %q is not the name of a schema that a restore makes (…_mxp_… or …_mxo_…)", schema)
	}
	return nil
}

// quoteText quotes a string for SQL under any sql_mode: doubled quotes, and a backslash only where it is none.
func quoteText(text string) string {
	if strings.Contains(text, `\`) {
		return fmt.Sprintf("CONVERT(X'%X' USING utf8mb4)", text)
	}
	return "'" + strings.ReplaceAll(text, "'", "''") + "'"
}

// scratchOf says whether a schema was made by a restore of db.
func scratchOf(schema, db string) bool {
	for _, kind := range []string{StagedName(db, ""), OldName(db, "")} {
		if id, found := strings.CutPrefix(schema, kind); found && id != "" && onlyScratch(schema) == nil && !strings.Contains(id, "_") {
			return true
		}
	}
	return false
}
