package collector

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/service"
)

// answers is a UnitReader with a fixed answer; the bus itself is tested with a real daemon in internal/service.
type answers []service.Unit

func (a answers) Units(context.Context, []string) ([]service.Unit, error) { return a, nil }

func TestService(t *testing.T) {
	n, cpu := func(v uint64) *uint64 { return &v }, 1500*time.Millisecond
	c := NewService(answers{
		{Name: "nginx.service", State: "active", Started: time.UnixMicro(1795359535500000), Restarts: n(2), Memory: n(4096), Tasks: n(3), CPU: &cpu},
		{Name: "typo.service", State: service.NotFound},
	}, func() []string { return []string{"nginx", "typo"} })
	wantText(t, c, `
# HELP moodle_service_cpu_seconds_total CPU time of the unit since it was started.
# TYPE moodle_service_cpu_seconds_total counter
moodle_service_cpu_seconds_total{unit="nginx.service"} 1.5
# HELP moodle_service_memory_bytes Memory of the unit's processes, with their file cache.
# TYPE moodle_service_memory_bytes gauge
moodle_service_memory_bytes{unit="nginx.service"} 4096
# HELP moodle_service_restarts_total Times systemd itself restarted the unit after it ended.
# TYPE moodle_service_restarts_total counter
moodle_service_restarts_total{unit="nginx.service"} 2
# HELP moodle_service_start_time_seconds When the running unit became active, as Unix time.
# TYPE moodle_service_start_time_seconds gauge
moodle_service_start_time_seconds{unit="nginx.service"} 1.7953595355e+09
# HELP moodle_service_state 1 for the state that systemd has the unit in.
# TYPE moodle_service_state gauge
moodle_service_state{state="activating",unit="nginx.service"} 0
moodle_service_state{state="activating",unit="typo.service"} 0
moodle_service_state{state="active",unit="nginx.service"} 1
moodle_service_state{state="active",unit="typo.service"} 0
moodle_service_state{state="deactivating",unit="nginx.service"} 0
moodle_service_state{state="deactivating",unit="typo.service"} 0
moodle_service_state{state="failed",unit="nginx.service"} 0
moodle_service_state{state="failed",unit="typo.service"} 0
moodle_service_state{state="inactive",unit="nginx.service"} 0
moodle_service_state{state="inactive",unit="typo.service"} 0
moodle_service_state{state="maintenance",unit="nginx.service"} 0
moodle_service_state{state="maintenance",unit="typo.service"} 0
moodle_service_state{state="not-found",unit="nginx.service"} 0
moodle_service_state{state="not-found",unit="typo.service"} 1
moodle_service_state{state="reloading",unit="nginx.service"} 0
moodle_service_state{state="reloading",unit="typo.service"} 0
# HELP moodle_service_tasks Threads and processes of the unit.
# TYPE moodle_service_tasks gauge
moodle_service_tasks{unit="nginx.service"} 3
# HELP moodle_service_up 1 if the unit is active, or active and reloading its configuration; 0 also if systemd does not answer.
# TYPE moodle_service_up gauge
moodle_service_up{unit="nginx.service"} 1
moodle_service_up{unit="typo.service"} 0
`)
}

func TestServicesWithoutAnAnsweringBus(t *testing.T) {
	dir, err := os.MkdirTemp("", "bus")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	silent, err := net.Listen("unix", filepath.Join(dir, "silent"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })

	for _, socket := range []string{"none", "silent"} {
		bus := service.NewBus(filepath.Join(dir, socket))
		t.Cleanup(bus.Close)
		e := New(discard(), time.Now, 0, steady("good"),
			NewService(bus, func() []string { return []string{"nginx", "nginx.service", "cron.service"} }))
		// The engine's deadline comes before the collector's patience, and what it knows is still on the page.
		wantValues(t, gatherValues(t, e, 300*time.Millisecond), map[string]float64{
			"test_value{good}": 1, "scrape_collector_success{service}": 0, "service_up{nginx.service}": 0, "service_up{cron.service}": 0,
		})
	}
}

func TestNoServices(t *testing.T) {
	got, err := seriesOf(t, NewService(service.NewBus("/does/not/exist"), func() []string { return nil }))
	if err != nil || len(got) != 0 {
		t.Errorf("got %v, %v", got, err)
	}
}
