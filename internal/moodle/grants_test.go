package moodle

import (
	"testing"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
)

// The statements are also executed, by the tests of the collectors.
func TestGrants(t *testing.T) {
	local := func(schema string, monitor config.Account) *Site {
		return &Site{Monitor: monitor, Config: PHPConfig{DBType: "mariadb", DBHost: "localhost", DBSocket: "/run/db.sock", DBName: schema}}
	}
	remote := local("moodle", config.Account{User: "reader", PasswordFile: "/etc/p"})
	remote.Config.DBSocket, remote.Config.DBHost = "", "db.example.org"
	postgres := local("moodle", config.Account{})
	postgres.Config.DBType = "pgsql"
	tests := map[string]struct {
		sites  []*Site
		flavor string
		want   string
	}{
		"two sites on MariaDB": {[]*Site{local("moodle_45", config.Account{}), local("a`%b", config.Account{}), local("moodle_45", config.Account{})}, "mariadb",
			"-- Database server \"/run/db.sock\"\n" +
				"CREATE USER IF NOT EXISTS `moodle-exporter`@`localhost` IDENTIFIED VIA unix_socket;\n" +
				"GRANT SELECT ON `a``\\%b`.* TO `moodle-exporter`@`localhost`;\n" +
				"GRANT SELECT ON `moodle\\_45`.* TO `moodle-exporter`@`localhost`;\n" +
				"GRANT SLAVE MONITOR ON *.* TO `moodle-exporter`@`localhost`;\n"},
		"MySQL": {[]*Site{local("moodle", config.Account{})}, "mysql",
			"-- Database server \"/run/db.sock\"\n" +
				"CREATE USER IF NOT EXISTS `moodle-exporter`@`localhost` IDENTIFIED WITH auth_socket;\n" +
				"GRANT SELECT ON `moodle`.* TO `moodle-exporter`@`localhost`;\n" +
				"GRANT REPLICATION CLIENT ON *.* TO `moodle-exporter`@`localhost`;\n"},
		"another host": {[]*Site{remote}, "mariadb",
			"-- Database server \"db.example.org:3306\"\n" +
				"-- First create `reader`@`%` with a password of its own, and name the file with it in the configuration under database.monitor.password_file.\n" +
				"GRANT SELECT ON `moodle`.* TO `reader`@`%`;\n" +
				"GRANT SLAVE MONITOR ON *.* TO `reader`@`%`;\n"},
		"PostgreSQL": {[]*Site{postgres}, "mariadb", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := Grants(test.sites, test.flavor); got != test.want {
				t.Errorf("got\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}
