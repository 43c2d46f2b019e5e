package collector

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/moodle-exporter/moodle-exporter/internal/service"
)

// busPatience is how long systemd may take. It answers in milliseconds, but not while it reloads its units.
const busPatience = 5 * time.Second

var (
	serviceUp       = serviceDesc("up", "1 if the unit is active, or active and reloading its configuration; 0 also if systemd does not answer.")
	serviceState    = desc("service", "state", "1 for the state that systemd has the unit in.", "unit", "state")
	serviceStart    = serviceDesc("start_time_seconds", "When the running unit became active, as Unix time.")
	serviceMemory   = serviceDesc("memory_bytes", "Memory of the unit's processes, with their file cache.")
	serviceTasks    = serviceDesc("tasks", "Threads and processes of the unit.")
	serviceRestarts = serviceDesc("restarts_total", "Times systemd itself restarted the unit after it ended.")
	serviceCPU      = serviceDesc("cpu_seconds_total", "CPU time of the unit since it was started.")
)

// serviceDesc names a metric of one unit.
func serviceDesc(name, help string) *prometheus.Desc { return desc("service", name, help, "unit") }

// UnitReader is what asks systemd: *service.Bus.
type UnitReader interface {
	// Units reads the named units, in their order and each once.
	Units(ctx context.Context, names []string) ([]service.Unit, error)
}

// Service reads the units that the site stands on.
type Service struct {
	bus   UnitReader
	units func() []string
}

// NewService watches the units whose names units returns at each scrape.
func NewService(bus UnitReader, units func() []string) *Service {
	return &Service{bus: bus, units: units}
}

// Name implements Collector.
func (*Service) Name() string { return "service" }

// Update implements Collector. A unit that was asked for never disappears: what cannot be read is not up.
func (s *Service) Update(ctx context.Context, emit Emit) error {
	names := s.units()
	if len(names) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, busPatience)
	defer cancel()
	units, err := s.bus.Units(ctx, names)
	if err != nil {
		err = fmt.Errorf("read services: %w", err)
	}
	if units == nil {
		emitUnread(emit, names)
	}
	for _, unit := range units {
		emitUnit(emit, unit)
	}
	return err
}

func emitUnread(emit Emit, names []string) {
	taken := map[string]bool{}
	for _, name := range names {
		if name = service.Name(name); !taken[name] {
			taken[name] = true
			emit.gauge(serviceUp, 0, name)
		}
	}
}

func emitUnit(emit Emit, unit service.Unit) {
	emit.gauge(serviceUp, flag(unit.Up()), unit.Name)
	for _, state := range service.States() {
		emit.gauge(serviceState, flag(unit.State == state), unit.Name, state)
	}
	emit.when(serviceStart, unit.Started, unit.Name)
	if unit.Memory != nil {
		emit.gauge(serviceMemory, float64(*unit.Memory), unit.Name)
	}
	if unit.Tasks != nil {
		emit.gauge(serviceTasks, float64(*unit.Tasks), unit.Name)
	}
	if unit.Restarts != nil {
		emit.counter(serviceRestarts, float64(*unit.Restarts), unit.Name)
	}
	if unit.CPU != nil {
		emit.counter(serviceCPU, unit.CPU.Seconds(), unit.Name)
	}
}
