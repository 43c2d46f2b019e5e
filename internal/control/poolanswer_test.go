package control

import (
	"testing"

	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// TestPendingIsBehind: a pending upgrade excuses a database that is behind its code, never one that is ahead of it.
func TestPendingIsBehind(t *testing.T) {
	site := &moodle.Site{Dir: "/srv/lms"}
	for _, c := range []struct {
		code, database string
		pending, fine  bool
	}{
		{"2024100705.00", "2024100705.00", false, true},
		{"2024100705.00", "2022112800.00", false, false},
		{"2024100705.00", "2022112800.00", true, true},
		{"2024100705.00", "2025041400.00", true, false},
		{"2024100705.00", "", true, false},
	} {
		answer := PoolAnswer{Dir: site.Public(), CodeVersion: c.code, DatabaseVersion: c.database}
		err := answer.judge(site, moodle.Version{Number: c.code}, PoolCheck{UpgradePending: c.pending})
		if (err == nil) != c.fine {
			t.Errorf("code %s, database %q, pending %v: %v", c.code, c.database, c.pending, err)
		}
	}
}
