package collector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"github.com/shirou/gopsutil/v3/common"
	"github.com/shirou/gopsutil/v3/cpu"
	"github.com/shirou/gopsutil/v3/load"
)

// maxStepBack is how many seconds a CPU counter may fall without being a real reset. Linux lets iowait and idle
// fall a little (Documentation/filesystems/proc.rst); Prometheus would read that as a restart from zero.
const maxStepBack = 3

var (
	cpuSeconds = desc("host", "cpu_seconds_total", "Time all CPUs together spent in each mode; user includes guests.", "mode")
	cpuCount   = desc("host", "cpus", "CPUs online.")
	cpuLoad1   = desc("host", "load1", "Load average over one minute.")
	cpuLoad5   = desc("host", "load5", "Load average over five minutes.")
	cpuLoad15  = desc("host", "load15", "Load average over fifteen minutes.")
	bootTime   = desc("host", "boot_time_seconds", "When the host was booted, as Unix time.")
)

// CPU reads processor time, load and boot time of the host.
type CPU struct {
	procRoot string

	mu   sync.Mutex
	last map[string]float64
}

// NewCPU reads below procRoot, which is /proc but in tests.
func NewCPU(procRoot string) *CPU {
	return &CPU{procRoot: procRoot, last: map[string]float64{}}
}

// Name implements Collector.
func (*CPU) Name() string { return "cpu" }

// Update implements Collector.
func (c *CPU) Update(ctx context.Context, emit Emit) error {
	ctx = withProc(ctx, c.procRoot)
	return errors.Join(c.times(ctx, emit), loads(ctx, emit), boot(c.procRoot, emit))
}

// withProc makes gopsutil read below procRoot.
func withProc(ctx context.Context, procRoot string) context.Context {
	return context.WithValue(ctx, common.EnvKey, common.EnvMap{common.HostProcEnvKey: procRoot})
}

// times takes the kernel's own sum, which still counts CPUs that have gone offline, and so never falls with them.
func (c *CPU) times(ctx context.Context, emit Emit) error {
	all, err := cpu.TimesWithContext(ctx, false)
	if err == nil && len(all) != 1 {
		err = errors.New("no line of all CPUs")
	}
	if err != nil {
		return fmt.Errorf("read CPU times in %s/stat: %w", c.procRoot, err)
	}
	for mode, seconds := range map[string]float64{
		"user": all[0].User, "nice": all[0].Nice, "system": all[0].System, "idle": all[0].Idle,
		"iowait": all[0].Iowait, "irq": all[0].Irq, "softirq": all[0].Softirq, "steal": all[0].Steal,
	} {
		emit.counter(cpuSeconds, c.smooth(mode, seconds), mode)
	}
	each, err := cpu.TimesWithContext(ctx, true)
	if err != nil || len(each) == 0 {
		return errors.Join(fmt.Errorf("no line of a single CPU in %s/stat", c.procRoot), err)
	}
	emit.gauge(cpuCount, float64(len(each)))
	return nil
}

// smooth holds a counter that steps back a little at its highest value.
func (c *CPU) smooth(mode string, seconds float64) float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last := c.last[mode]; seconds < last && last-seconds < maxStepBack {
		return last
	}
	c.last[mode] = seconds
	return seconds
}

func loads(ctx context.Context, emit Emit) error {
	average, err := load.AvgWithContext(ctx)
	if err != nil {
		return fmt.Errorf("read load average: %w", err)
	}
	emit.gauge(cpuLoad1, average.Load1)
	emit.gauge(cpuLoad5, average.Load5)
	emit.gauge(cpuLoad15, average.Load15)
	return nil
}

// boot reads btime itself: gopsutil's boot time is now less the uptime, which wavers by a second from scrape to scrape.
func boot(procRoot string, emit Emit) error {
	value, found, err := procField(procRoot, "stat", "btime")
	if err != nil || !found {
		return errors.Join(fmt.Errorf("no boot time in %s/stat", procRoot), err)
	}
	emit.gauge(bootTime, value)
	return nil
}

// procField reads the number behind a name in a file of lines "name number …".
func procField(procRoot, file, name string) (value float64, found bool, err error) {
	content, err := os.ReadFile(filepath.Join(procRoot, file)) //nolint:gosec // below /proc
	if err != nil {
		return 0, false, fmt.Errorf("read kernel statistics: %w", err)
	}
	for line := range bytes.Lines(content) {
		fields := bytes.Fields(line)
		if len(fields) >= 2 && string(fields[0]) == name {
			value, err = strconv.ParseFloat(string(fields[1]), 64)
			if err != nil {
				return 0, false, fmt.Errorf("read %s in %s/%s: %w", name, procRoot, file, err)
			}
			return value, true, nil
		}
	}
	return 0, false, nil
}
