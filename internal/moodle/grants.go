package moodle

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/internal/dbserver"
)

// grantTexts are the words that differ between the products. SLAVE MONITOR came with MariaDB 10.5.
var grantTexts = map[dbserver.Flavor]struct{ socket, replication string }{
	dbserver.MariaDB: {"IDENTIFIED VIA unix_socket", "SLAVE MONITOR"},
	dbserver.MySQL:   {"IDENTIFIED WITH auth_socket", "REPLICATION CLIENT"},
}

// reader is an account that reads along on one server.
type reader struct {
	server, user, host string
	create             string // how to make it, or why it is not made here
}

// Grants is the SQL that gives the exporter an account with the rights to read along at sites and no more,
// for the administrator to run on the servers that it names. flavor is mariadb or mysql. The account logs in
// by the name of its system user, without a password. An account with a password is not created, as no
// password belongs into a text that is printed: there the statement is left to the administrator.
func Grants(sites []*Site, flavor string) string {
	var readers []reader
	schemas := make(map[reader][]string)
	for _, site := range sites {
		if !site.Config.MySQL() {
			continue
		}
		r := site.reader(dbserver.Flavor(flavor))
		if schemas[r] == nil {
			readers = append(readers, r)
		}
		schemas[r] = append(schemas[r], site.Config.DBName)
	}
	slices.SortFunc(readers, func(a, b reader) int {
		return cmp.Or(cmp.Compare(a.server, b.server), cmp.Compare(a.user, b.user))
	})
	var text strings.Builder
	for _, r := range readers {
		account := dbserver.Quote(r.user) + "@" + dbserver.Quote(r.host)
		fmt.Fprintf(&text, "-- Database server %q\n%s\n", r.server, r.create)
		slices.Sort(schemas[r])
		for _, schema := range slices.Compact(schemas[r]) {
			fmt.Fprintf(&text, "GRANT SELECT ON %s.* TO %s;\n", schemaPattern(schema), account)
		}
		fmt.Fprintf(&text, "GRANT %s ON *.* TO %s;\n", grantTexts[dbserver.Flavor(flavor)].replication, account)
	}
	return text.String()
}

// reader is the account of the site's monitor login and how it comes into being.
func (s *Site) reader(flavor dbserver.Flavor) reader {
	r := reader{server: s.Config.Server(), user: cmp.Or(s.Monitor.User, MonitorAccount), host: "localhost"}
	local := s.Config.local() || s.Monitor.Socket != ""
	if !local {
		r.host = "%"
	}
	account := dbserver.Quote(r.user) + "@" + dbserver.Quote(r.host)
	if local && s.Monitor.PasswordFile == "" && r.user == MonitorAccount {
		r.create = "CREATE USER IF NOT EXISTS " + account + " " + grantTexts[flavor].socket + ";"
		return r
	}
	r.create = "-- First create " + strings.ReplaceAll(account, "\n", " ") + " with a password of its own, and name the file with it in the" +
		" configuration under database.monitor.password_file."
	return r
}

// schemaPattern quotes a schema's name in a GRANT, where _ and % stand for any characters unless escaped.
func schemaPattern(name string) string {
	return dbserver.Quote(strings.NewReplacer(`\`, `\\`, "_", `\_`, "%", `\%`).Replace(name))
}
