package stand_test

import (
	"database/sql"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

func TestMariaDBComesBackAfterKill(t *testing.T) {
	t.Parallel()
	stand.Need(t, stand.MariaDB)
	db, err := stand.StartMariaDB(t.Context(), stand.TempDir(t), stand.MariaDBOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := db.CreateDatabase(t.Context(), "moodle"); err != nil {
		t.Fatal(err)
	}
	password := everyPrintable()
	if err := db.CreateAccount(t.Context(), "lms", password, "moodle", "ALL"); err != nil {
		t.Fatal(err)
	}
	db.Kill()
	if err := db.Start(); err != nil {
		t.Fatal(err)
	}
	pool, err := sql.Open("mysql", db.UserDSN("lms", password, "moodle"))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if err := pool.PingContext(t.Context()); err != nil {
		t.Errorf("log in with a password of every printable character after kill -9: %v", err)
	}
}

// everyPrintable is each printable ASCII character once.
func everyPrintable() string {
	var all []byte
	for c := byte(' '); c <= '~'; c++ {
		all = append(all, c)
	}
	return string(all)
}
