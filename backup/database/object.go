package database

import (
	"slices"
	"strings"
)

// Kinds of objects, as CREATE and DROP name them.
const (
	kindView        = "VIEW"
	kindTrigger     = "TRIGGER"
	kindProcedure   = "PROCEDURE"
	kindFunction    = "FUNCTION"
	kindPackage     = "PACKAGE"
	kindPackageBody = "PACKAGE BODY"
	kindEvent       = "EVENT"
)

// Object is a trigger, view, routine or event with everything under which it was made. Texts are bytes in the
// character set Client.
type Object struct {
	Kind, Name string
	Table      string `json:",omitempty"` // of a trigger
	// Head and Tail are the statement around DEFINER=, which stands between them.
	Head, Tail    []byte
	User, Host    string // of the definer; User is empty where none is named, Host for a role
	SQLMode       string
	Client        string // character_set_client
	Connection    string // collation_connection
	Database      string `json:",omitempty"` // collation of the schema
	TimeZone      string `json:",omitempty"` // of an event
	NeedsNoRights bool   `json:",omitempty"` // runs SQL that it puts together: never in an administrator's name
}

// statement is the CREATE statement with a definer, none if account is empty.
func (o Object) statement(account string) string {
	definer := " "
	if account != "" {
		definer = " DEFINER=" + account + " "
	}
	return string(o.Head) + definer + string(o.Tail)
}

// create understands a CREATE statement.
func (r *reader) create(t tokens) (statement, error) {
	i := 1
	if t.match(i, "OR REPLACE") {
		i += 2
	}
	if t.match(i, "ALGORITHM =") {
		i += 3
	}
	o := Object{
		SQLMode: r.settings.sqlMode, Client: r.settings.client, Connection: r.settings.collation,
		TimeZone: r.settings.timeZone, Database: r.settings.database,
	}
	headEnd, tail := t.at(i).from, i
	if t.match(i, "DEFINER =") {
		tail = o.definer(t, i+2)
		i = tail
	}
	if t.match(i, "SQL SECURITY") {
		i += 3
	}
	if t.match(i, "AGGREGATE") {
		i++
	}
	kind := strings.ToUpper(t.at(i).value)
	switch {
	case kind == "TABLE" || kind == "SEQUENCE":
		if i != 1 {
			return statement{}, refusedError("CREATE " + kind)
		}
		return r.table(t, kind)
	case kind == kindPackage && t.match(i+1, "BODY"):
		kind = kindPackageBody
		i++
	case !slices.Contains([]string{kindView, kindTrigger, kindProcedure, kindFunction, kindPackage, kindEvent}, kind):
		return statement{}, refusedError(kindOf(t))
	}
	if i++; t.match(i, "IF NOT EXISTS") {
		i += 3
	}
	if err := r.named(&o, t, kind, i); err != nil {
		return statement{}, err
	}
	o.Head = []byte(t.slice(0, headEnd))
	o.Tail = []byte(r.renamed(t, t.at(tail).from))
	return statement{action: object, object: o}, r.guard(&o, t, i)
}

// definer reads the account behind DEFINER=, and returns the place behind it.
func (o *Object) definer(t tokens, i int) int {
	o.User = t.at(i).value
	if t.match(i, "CURRENT_USER") {
		o.User = ""
		if t.match(i+1, "( )") {
			i += 2
		}
		return i + 1
	}
	if t.match(i+1, "@") {
		o.Host = t.at(i + 2).value
		return i + 3
	}
	return i + 1
}

// named reads the name behind the kind, and the table of a trigger.
func (r *reader) named(o *Object, t tokens, kind string, i int) error {
	o.Kind = kind
	next, name, err := r.unqualified(t, i)
	if err != nil {
		return err
	}
	o.Name = name
	if kind != kindTrigger {
		return nil
	}
	for ; next < len(t.list); next++ { // BEFORE INSERT ON `table`
		if t.match(next, "ON") {
			_, o.Table, err = r.unqualified(t, next+1)
			return err
		}
	}
	return refusedError("CREATE TRIGGER without a table")
}

// unqualified reads a name that may stand behind that of the dump's own schema.
func (r *reader) unqualified(t tokens, i int) (next int, name string, err error) {
	if !t.at(i).name() {
		return 0, "", refusedError("CREATE without a name")
	}
	if !t.match(i+1, ".") {
		return i + 1, t.at(i).value, nil
	}
	if !r.own(t.at(i).value) || !t.at(i+2).name() {
		return 0, "", refusedError("CREATE in another schema")
	}
	return i + 3, t.at(i + 2).value, nil
}

func (r *reader) own(schema string) bool {
	return r.source != "" && strings.EqualFold(schema, r.source)
}
