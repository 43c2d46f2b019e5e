//go:build rig

package service

import (
	"os/exec"
	"slices"
	"testing"
	"time"
)

// TestOnSystemd runs on a host that was booted with systemd and has nginx and cron, as any user; the units must be running:
// go test -tags rig -c ./internal/service, then service.test -test.run TestOnSystemd there.
func TestOnSystemd(t *testing.T) {
	bus := NewBus(SystemBus)
	t.Cleanup(bus.Close)
	units, err := bus.Units(t.Context(), []string{"nginx", "cron", "no-such-unit", "redis-server@.service", "systemd-journald.service", "dbus.socket"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, u := range units {
		got = append(got, u.Name+" "+u.State)
		t.Logf("%+v", u)
	}
	want := []string{
		"nginx.service active", "cron.service active", "no-such-unit.service not-found", "redis-server@.service not-found",
		"systemd-journald.service active", "dbus.socket active",
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	nginx := units[0]
	if nginx.MainPID == 0 || nginx.Restarts == nil || time.Since(nginx.Started) < 0 || time.Since(nginx.Started) > 24*time.Hour {
		t.Errorf("nginx: %+v", nginx)
	}
	found, err := bus.Discover(t.Context())
	if err != nil || !slices.Contains(found, "nginx.service") || !slices.Contains(found, "cron.service") {
		t.Errorf("discovered %q, %v", found, err)
	}
	t.Logf("discovered %q", found)
	for _, name := range found {
		if out, err := exec.Command("systemctl", "cat", name).CombinedOutput(); err != nil {
			t.Errorf("systemctl does not know the discovered %s: %s", name, out)
		}
	}
	kept := bus.kept
	for range 200 {
		if _, err := bus.Units(t.Context(), found); err != nil {
			t.Fatal(err)
		}
	}
	if bus.kept != kept {
		t.Error("the connection was not kept")
	}
}
