package service

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"
)

func TestUnits(t *testing.T) {
	d := startDaemon(t)
	serve(t, d, &manager{units: map[string]dbus.UnitStatus{
		"nginx.service":          status("nginx.service", "loaded", "active"),
		"mysql.service":          status("mariadb.service", "loaded", "reloading"), // asked for by its alias
		"mariadb.service":        status("mariadb.service", "loaded", "reloading"),
		"cron.service":           status("cron.service", "loaded", "failed"),
		"removed.service":        status("removed.service", "not-found", "active"), // its file was deleted under it
		"masked.service":         status("masked.service", "masked", "inactive"),
		"new.service":            status("new.service", "loaded", "refreshing"),
		"vanished.service":       status("vanished.service", "loaded", "active"),
		"php8.2-fpm.service":     status("php8.2-fpm.service", "loaded", "activating"),
		"logrotate.timer":        status("logrotate.timer", "loaded", "active"),
		"redis-server@a.service": status("redis-server@a.service", "loaded", "deactivating"),
	}}, values{
		"nginx.service": {
			"ActiveEnterTimestamp": uint64(1795359535123456), "NRestarts": uint32(3), "MainPID": uint32(42),
			"MemoryCurrent": uint64(1 << 20), "TasksCurrent": uint64(5), "CPUUsageNSec": uint64(2500000000),
		},
		"mariadb.service": {
			"ActiveEnterTimestamp": uint64(0), "NRestarts": uint32(0), "MainPID": uint32(43),
			"MemoryCurrent": uint64(math.MaxUint64), "TasksCurrent": uint64(math.MaxUint64), "CPUUsageNSec": uint64(math.MaxUint64),
		},
		"cron.service":    {"ActiveEnterTimestamp": uint64(1795359535000000), "NRestarts": uint32(5)},
		"removed.service": {}, "masked.service": {}, "new.service": {}, "php8.2-fpm.service": {}, "redis-server@a.service": {},
		"logrotate.timer": {"NRestarts": "not a number", "MemoryCurrent": int64(-1)},
	})
	bus := NewBus(d.socket)
	t.Cleanup(bus.Close)
	asked := []string{
		"nginx", "mysql.service", "cron.service", "nginx.service", "missing", "removed", "masked", "new", "impossible name",
		"redis-server@.service", "redis-server@a", "php8.2-fpm", "logrotate.timer", "vanished", "../etc", "", strings.Repeat("x", 300),
	}
	units, err := bus.Units(t.Context(), asked)
	if err == nil || !strings.Contains(err.Error(), "vanished.service") {
		t.Errorf("the unit without properties is not named: %v", err)
	}
	want := []string{
		"nginx.service active", "mysql.service reloading", "cron.service failed", "missing.service not-found", "removed.service active",
		"masked.service inactive", "new.service reloading", "impossible name.service not-found", "redis-server@.service not-found",
		"redis-server@a.service deactivating", "php8.2-fpm.service activating", "logrotate.timer active", "vanished.service active",
		"../etc.service not-found", ".service not-found", strings.Repeat("x", 300) + ".service not-found",
	}
	got := make([]string, 0, len(units))
	for _, u := range units {
		got = append(got, u.Name+" "+u.State)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got  %q\nwant %q", got, want)
	}
	nginx, mysql, cron, timer := units[0], units[1], units[2], units[11]
	if !nginx.Started.Equal(time.UnixMicro(1795359535123456)) || *nginx.Restarts != 3 || nginx.MainPID != 42 ||
		*nginx.Memory != 1<<20 || *nginx.Tasks != 5 || *nginx.CPU != 2500*time.Millisecond || !nginx.Up() {
		t.Errorf("nginx: %+v", nginx)
	}
	if !mysql.Started.IsZero() || *mysql.Restarts != 0 || mysql.Memory != nil || mysql.Tasks != nil || mysql.CPU != nil || !mysql.Up() {
		t.Errorf("mysql: %+v", mysql)
	}
	if !cron.Started.IsZero() || *cron.Restarts != 5 || cron.Up() {
		t.Errorf("cron: %+v", cron)
	}
	if timer.Restarts != nil || timer.Memory != nil {
		t.Errorf("timer: %+v", timer)
	}
}

// alike are the properties of any number of units, all with the same.
type alike map[string]any

func (a alike) Get(_, property string) (godbus.Variant, *godbus.Error) {
	return godbus.MakeVariant(a[property]), nil
}

// TestThousandsOfUnits: there are more than can be counted in the time there is. All have their states in time.
func TestThousandsOfUnits(t *testing.T) {
	d := startDaemon(t)
	m := &manager{units: map[string]dbus.UnitStatus{}}
	names := make([]string, 5000)
	for i := range names {
		names[i] = fmt.Sprintf("worker@%04d.service", i)
		m.units[names[i]] = status(names[i], "loaded", "active")
	}
	serve(t, d, m, alike{
		"ActiveEnterTimestamp": uint64(1795359535123456), "NRestarts": uint32(3), "MainPID": uint32(42),
		"MemoryCurrent": uint64(1 << 20), "TasksCurrent": uint64(5), "CPUUsageNSec": uint64(2500000000),
	})
	bus := NewBus(d.socket)
	t.Cleanup(bus.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	units, err := bus.Units(ctx, names)
	if ctx.Err() != nil {
		t.Fatal("the answer came too late")
	}
	if err == nil || !strings.Contains(err.Error(), "of 5000 were not answered in time") {
		t.Errorf("the error is %v", err)
	}
	if len(units) != len(names) {
		t.Fatalf("%d units (%v)", len(units), err)
	}
	counted := 0
	for i, u := range units {
		if u.Name != names[i] || u.State != "active" {
			t.Fatalf("unit %d: %+v", i, u)
		}
		if u.CPU != nil {
			counted++
		}
	}
	if counted == 0 || counted == len(units) {
		t.Errorf("%d units have counters", counted)
	}
	t.Logf("%d units were counted", counted)
	kept := bus.kept
	if _, err := bus.Units(t.Context(), names[:3]); err != nil || bus.kept != kept {
		t.Errorf("the connection was given up, or: %v", err)
	}
}

func TestDiscover(t *testing.T) {
	d := startDaemon(t)
	serve(t, d, &manager{
		files: []dbus.UnitFile{
			{Path: "/usr/lib/systemd/system/nginx.service", Type: "enabled"},
			{Path: "/usr/lib/systemd/system/php8.2-fpm.service", Type: "enabled"},
			{Path: "/usr/lib/systemd/system/php8.1-fpm.service", Type: "disabled"},
			{Path: "/etc/systemd/system/mysql.service", Type: "alias"},
			{Path: "/usr/lib/systemd/system/redis-server@.service", Type: "enabled"},
			{Path: "/usr/lib/systemd/system/ssh.service", Type: "enabled"},
		},
		units: map[string]dbus.UnitStatus{
			"nginx.service":        status("nginx.service", "loaded", "inactive"),
			"mariadb.service":      status("mariadb.service", "loaded", "active"),
			"redis-server.service": status("redis-server.service", "loaded", "failed"),
			"memcached.service":    status("memcached.service", "loaded", "inactive"),
			"ssh.service":          status("ssh.service", "loaded", "active"),
		},
	}, values{})
	bus := NewBus(d.socket)
	t.Cleanup(bus.Close)
	got, err := bus.Discover(t.Context())
	if want := []string{"mariadb.service", "nginx.service", "php8.2-fpm.service", "redis-server.service"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}
