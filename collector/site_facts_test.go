package collector

import (
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/internal/probe"
)

func TestSiteFacts(t *testing.T) {
	now := time.Date(2026, 11, 22, 4, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		taken               time.Time
		facts               string
		dataroot            string
		maintenance, update [2]bool // yes, known
	}{
		"facts":                         {now.Add(-5 * time.Minute), `"cli_maintenance":true,"upgrade_pending":false`, "\x00", [2]bool{true, true}, [2]bool{false, true}},
		"facts without answers":         {now.Add(-5 * time.Minute), `"primary":true`, "\x00", [2]bool{}, [2]bool{}},
		"old facts":                     {now.Add(-probe.Stale), `"cli_maintenance":true,"upgrade_pending":true`, "\x00", [2]bool{}, [2]bool{}},
		"the file itself counts before": {now.Add(-5 * time.Minute), `"cli_maintenance":true,"upgrade_pending":true`, t.TempDir(), [2]bool{false, true}, [2]bool{true, true}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			stateDir := t.TempDir()
			writeFacts(t, stateDir, test.taken, map[string]string{"lms": test.facts})
			clock := func() time.Time { return now }
			facts := NewSiteFacts(probe.NewView(stateDir, clock, nil), clock)
			site := &moodle.Site{Name: "lms", Config: moodle.PHPConfig{DataRoot: test.dataroot}}
			if on, known := facts.CLIMaintenance(t.Context(), site); [2]bool{on, known} != test.maintenance {
				t.Errorf("maintenance %v, known %v", on, known)
			}
			if pending, known := facts.UpgradePending(site); [2]bool{pending, known} != test.update {
				t.Errorf("upgrade pending %v, known %v", pending, known)
			}
		})
	}
}
