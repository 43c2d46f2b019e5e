package stand_test

import (
	"database/sql"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

func TestFixturesLoad(t *testing.T) {
	t.Parallel()
	stand.Need(t, stand.MariaDB)
	stand.NeedFixtures(t)
	db, err := stand.StartMariaDB(t.Context(), stand.TempDir(t), stand.MariaDBOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	for version, want := range map[string]struct{ prefix, branch string }{
		"4.5": {"m45_", "405"},
		"5.1": {"mdl_", "501"},
	} {
		t.Run(version, func(t *testing.T) {
			database := "moodle " + version
			if err := stand.LoadFixture(t.Context(), db, version, database); err != nil {
				t.Fatal(err)
			}
			pool, err := sql.Open("mysql", db.RootDSN(database))
			if err != nil {
				t.Fatal(err)
			}
			defer pool.Close()
			var branch string
			row := pool.QueryRowContext(t.Context(), "SELECT value FROM "+want.prefix+"config WHERE name='branch'")
			if err := row.Scan(&branch); err != nil || branch != want.branch {
				t.Errorf("branch in the database is %q (%v), want %q", branch, err, want.branch)
			}
		})
	}
}
