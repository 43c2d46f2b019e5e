package backup

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// rights are the privileges of an account that matter to one database.
type rights struct {
	all      bool            // ALL PRIVILEGES on it
	global   map[string]bool // on *.*, upper case
	database map[string]bool // on the database, upper case
	procs    bool            // may read the text of every routine
}

func (r rights) has(privilege string) bool {
	return r.all || r.global[privilege] || r.database[privilege]
}

var grantLine = regexp.MustCompile("^GRANT (.+?) ON (?:(TABLE|FUNCTION|PROCEDURE|PACKAGE|PACKAGE BODY) )?" +
	"(\\*|[`\"](?:[^`\"]|``)*[`\"])\\.(\\*|[`\"](?:[^`\"]|``)*[`\"]) TO ")

// rightsOf reads the answer of SHOW GRANTS, as MariaDB and MySQL write it, for one database.
func rightsOf(grants []string, database string) rights {
	r := rights{global: map[string]bool{}, database: map[string]bool{}}
	for _, grant := range grants {
		found := grantLine.FindStringSubmatch(grant)
		if found == nil || (found[2] != "" && found[2] != "TABLE") {
			continue // a role, a proxy, or one routine
		}
		names := privileges(found[1])
		all := slices.Contains(names, "ALL PRIVILEGES") || slices.Contains(names, "ALL")
		on, object := unquoteName(found[3]), unquoteName(found[4])
		reads := all || slices.Contains(names, "SELECT")
		switch {
		case on == "*" && object == "*":
			r.all = r.all || all
			add(r.global, names)
			r.procs = r.procs || reads
		case object == "*" && matches(on, database):
			r.all = r.all || all
			add(r.database, names)
		}
		if reads && matches(on, "mysql") && (object == "*" || object == "proc") {
			r.procs = true
		}
	}
	r.procs = r.procs || r.global["SHOW_ROUTINE"] || r.has("SHOW CREATE ROUTINE")
	return r
}

// privileges splits SELECT, INSERT (a, b), SHOW VIEW at the commas outside of column lists, and leaves
// out those that hold for some columns only.
func privileges(list string) (names []string) {
	depth, start := 0, 0
	take := func(name string) {
		if name = strings.TrimSpace(name); !strings.Contains(name, "(") {
			names = append(names, strings.ToUpper(name))
		}
	}
	for i, c := range list {
		switch {
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == ',' && depth == 0:
			take(list[start:i])
			start = i + 1
		}
	}
	take(list[start:])
	return names
}

func add(to map[string]bool, names []string) {
	for _, name := range names {
		to[name] = true
	}
}

// matches says whether a grant on pattern holds for database: % and _ stand for anything there unless a
// backslash is before them.
func matches(pattern, database string) bool {
	if pattern == "" {
		return database == ""
	}
	switch pattern[0] {
	case '%':
		for i := 0; i <= len(database); i++ {
			if matches(pattern[1:], database[i:]) {
				return true
			}
		}
		return false
	case '\\':
		if len(pattern) > 1 {
			pattern = pattern[1:]
		}
	case '_':
		return database != "" && matches(pattern[1:], database[1:])
	}
	return database != "" && database[0] == pattern[0] && matches(pattern[1:], database[1:])
}

func unquoteName(name string) string {
	if len(name) < 2 {
		return name
	}
	return strings.ReplaceAll(name[1:len(name)-1], "``", "`")
}

// rights asks the server what this account, with the roles that are on, may do.
func (s *session) rights(ctx context.Context, kind string) (rights, error) {
	query := "SHOW GRANTS"
	if kind == "MySQL" {
		// MySQL lists what a role brings only if asked by name. CURRENT_ROLE() is quoted by the server.
		roles, err := s.column(ctx, "SELECT CURRENT_ROLE()")
		if err == nil && len(roles) == 1 && roles[0] != "NONE" {
			query += " FOR CURRENT_USER() USING " + roles[0]
		}
	}
	grants, err := s.column(ctx, query)
	if err != nil {
		return rights{}, fmt.Errorf("ask for the account's privileges: %w", err)
	}
	return rightsOf(grants, s.name), nil
}

// lacking are the GRANTs without which a dump would be silently incomplete: without TRIGGER it holds no
// triggers and yet ends well.
func (r rights) lacking(kind, database string) (grants []string) {
	var names []string
	for _, name := range []string{"SELECT", "SHOW VIEW", "TRIGGER", "EVENT"} {
		if !r.has(name) {
			names = append(names, name)
		}
	}
	if !r.procs && !r.has("EXECUTE") && !r.has("ALTER ROUTINE") && !r.has("CREATE ROUTINE") {
		if kind == "MariaDB" {
			grants = append(grants, "GRANT SELECT ON mysql.proc TO")
		} else {
			grants = append(grants, "GRANT SHOW_ROUTINE ON *.* TO")
		}
	}
	if len(names) > 0 {
		grants = append(grants, "GRANT "+strings.Join(names, ", ")+" ON "+quoteName(database)+".* TO")
	}
	return grants
}
