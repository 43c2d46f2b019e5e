package moodle

import (
	"errors"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
)

// A prefix comes from a config.php that may be hostile: it stays a part of the table's name.
func TestQuotedTable(t *testing.T) {
	site := &Site{Config: PHPConfig{DBName: "lms` x", Prefix: "user` -- "}}
	if got, want := site.quoted("config"), "`lms`` x`.`user`` -- config`"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestConnectionsOf(t *testing.T) {
	site := func(user, password string) *Site {
		return &Site{Config: PHPConfig{DBType: "mariadb", DBSocket: "/run/db.sock", DBUser: user, DBPass: config.Secret(password)}}
	}
	connections := NewConnections(func(s *Site) (Login, error) { return s.ConfigLogin(), nil })
	defer connections.Close()
	first, err := connections.Of(site("a", "x"))
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := connections.Of(site("a", "another")); again != first {
		t.Error("two sites with the same server and account do not share a connection")
	}
	if other, _ := connections.Of(site("b", "x")); other == first {
		t.Error("two accounts share a connection")
	}
	postgres := site("a", "x")
	postgres.Config.DBType = "pgsql"
	if _, err := connections.Of(postgres); !errors.Is(err, ErrUnsupportedDatabase) {
		t.Errorf("PostgreSQL: %v", err)
	}
}
