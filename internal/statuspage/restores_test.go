package statuspage

import (
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
)

func TestRestoresThatAreNotOver(t *testing.T) {
	started := time.Date(2026, 3, 1, 4, 5, 0, 0, time.UTC)
	for _, c := range []struct {
		name    string
		restore Restore
		level   Level
		advice  string
	}{
		{"kept", Restore{}, Info, "restore --discard --site=lms"},
		{"beside the site", Restore{BrokenOff: "before it touched the site"}, Warning, "restore --site=lms"},
		{"half exchanged", Restore{BrokenOff: "while the site was exchanged", Touched: true}, Critical, "leave the maintenance page"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.restore.Site, c.restore.Backup, c.restore.Started = "lms", "20260301T030000Z", started
			report := Evaluate([]*dto.MetricFamily{}, Extras{Restores: []Restore{c.restore}}, started.Add(time.Hour))
			found := false
			for _, section := range report.Sections {
				for _, line := range section.Lines {
					if line.Subject == "restore" && line.Site == "lms" {
						found = true
						if line.Level != c.level || !strings.Contains(line.Value, "2026-03-01 04:05") || !strings.Contains(line.Advice, c.advice) || !strings.Contains(line.Value, c.restore.BrokenOff) {
							t.Errorf("%+v", line)
						}
					}
				}
			}
			if !found {
				t.Error("nothing is said of it")
			}
		})
	}
}
