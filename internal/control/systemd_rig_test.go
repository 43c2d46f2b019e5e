//go:build rig

package control

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/phpfpm"
	"github.com/moodle-exporter/moodle-exporter/internal/service"
)

// TestReloadOnSystemd runs as root on a host that was booted with systemd and has PHP-FPM as Debian's unit:
// go test -tags rig -c ./internal/control, then control.test -test.run TestReloadOnSystemd there.
func TestReloadOnSystemd(t *testing.T) {
	bus := service.NewBus(service.SystemBus)
	t.Cleanup(bus.Close)
	pools, err := phpfpm.ReadPools(phpfpm.DefaultGlobs...)
	must(t, err)
	if len(pools) == 0 {
		t.Fatal("no pool")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for _, services := range []Services{bus, bus, nil} {
		units, err := bus.Units(ctx, unitNames(pools[0]))
		must(t, err)
		master := int(units[0].MainPID)
		before, err := lookAt(procRoot, master)
		must(t, err)
		if found := masterOf(procRoot, pools[0]); found != master {
			t.Errorf("process %d is taken for the master, which is %d", found, master)
		}
		must(t, ReloadPool(ctx, services, pools[0]))
		after, err := lookAt(procRoot, master)
		must(t, err)
		if after.image == before.image || slices.ContainsFunc(after.children, func(pid string) bool { return slices.Contains(before.children, pid) }) {
			t.Errorf("it was not reloaded: %v, %v", before.children, after.children)
		}
	}
	if err := bus.ReloadOrRestart(ctx, "no-such-unit"); err == nil {
		t.Error("a unit that is not there was reloaded")
	}
	if err := bus.ReloadOrRestart(ctx, "failing.service"); !errors.Is(err, service.ErrJobFailed) {
		t.Errorf("a unit that cannot start: %v", err)
	}
}
