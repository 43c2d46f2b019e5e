package boot_test

import (
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/boot"
)

func TestUnitsOfTheMachineRun(t *testing.T) {
	m := machine(t)
	t.Logf("booted in %v", m.BootTime)
	s, err := m.InstallSite(t.Context(), boot.SiteOptions{Fixture: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range [][]string{{"cat", s.CodeDir + "/config.php"}, {"ls", "-la", "/var/www/", s.CodeDir, s.Dataroot}, {"curl", "-s", boot.StubStatusURL}} {
		r, err := m.Run(t.Context(), c...)
		t.Log(r.Stdout, r.Stderr, err)
	}
}
