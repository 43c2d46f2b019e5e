package dbserver

import (
	"database/sql"
	"testing"
	"time"
)

// MariaDB's answer is tried on real servers by the tests of the collectors; MySQL's is written down here from
// its manual, as there is no MySQL to run.
func TestReplicationOfMySQL(t *testing.T) {
	columns := []string{"Replica_IO_State", "Replica_IO_Running", "Replica_SQL_Running", "Seconds_Behind_Source"}
	source := func(values ...any) []sql.NullString {
		texts := make([]sql.NullString, len(values))
		for i, value := range values {
			texts[i].String, texts[i].Valid = value.(string)
		}
		return texts
	}
	tests := map[string]struct {
		sources [][]sql.NullString
		want    Replication
	}{
		"one":              {[][]sql.NullString{source("", "Yes", "Yes", "7")}, Replication{Running: true, Lag: 7 * time.Second, Known: true}},
		"two":              {[][]sql.NullString{source("", "Yes", "Yes", "9"), source("", "Yes", "Yes", "0")}, Replication{Running: true, Lag: 9 * time.Second, Known: true}},
		"connecting":       {[][]sql.NullString{source("", "Connecting", "Yes", nil)}, Replication{}},
		"one stands still": {[][]sql.NullString{source("", "Yes", "No", nil), source("", "Yes", "Yes", "3")}, Replication{Lag: 3 * time.Second}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got := Replication{Running: true, Known: true}
			for _, values := range test.sources {
				got.add(columns, values)
			}
			if got != test.want {
				t.Errorf("%+v, want %+v", got, test.want)
			}
		})
	}
}

func TestFlavorOf(t *testing.T) {
	for version, want := range map[string]Flavor{
		"10.11.6-MariaDB-0+deb12u1": MariaDB, "11.4.2-MariaDB": MariaDB, "8.0.36": MySQL, "8.0.35-27": MySQL, "8.4.0-0ubuntu": MySQL,
	} {
		if got := FlavorOf(version); got != want {
			t.Errorf("%s is %s, want %s", version, got, want)
		}
	}
}
