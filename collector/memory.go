package collector

import (
	"context"
	"errors"
	"fmt"

	"github.com/shirou/gopsutil/v3/mem"
)

var (
	memoryTotal     = desc("host", "memory_total_bytes", "Memory of the host.")
	memoryAvailable = desc("host", "memory_available_bytes",
		"Memory that programs can still get without swapping, as the kernel estimates it; reserved huge pages are not part of it.")
	memoryFree    = desc("host", "memory_free_bytes", "Memory used for nothing at all.")
	memoryCached  = desc("host", "memory_cached_bytes", "Page cache, without reclaimable slab.")
	memoryBuffers = desc("host", "memory_buffers_bytes", "Buffers of block devices.")
	swapTotal     = desc("host", "swap_total_bytes", "Swap space; 0 on a host without swap.")
	swapFree      = desc("host", "swap_free_bytes", "Swap space not in use.")
	oomKills      = desc("host", "oom_kills_total", "Processes killed because memory ran out, since boot.")
)

// Memory reads the host's memory, swap and out-of-memory kills.
type Memory struct {
	procRoot string
}

// NewMemory reads below procRoot, which is /proc but in tests.
func NewMemory(procRoot string) *Memory { return &Memory{procRoot: procRoot} }

// Name implements Collector.
func (*Memory) Name() string { return "memory" }

// Update implements Collector.
func (m *Memory) Update(ctx context.Context, emit Emit) error {
	return errors.Join(m.amounts(ctx, emit), m.kills(emit))
}

func (m *Memory) amounts(ctx context.Context, emit Emit) error {
	stat, err := mem.VirtualMemoryWithContext(withProc(ctx, m.procRoot))
	if err == nil && stat.Total == 0 {
		// gopsutil gives zeros instead of an error for a file that it cannot read.
		err = errors.New("no total")
	}
	if err != nil {
		return fmt.Errorf("read memory in %s/meminfo: %w", m.procRoot, err)
	}
	emit.gauge(memoryTotal, float64(stat.Total))
	emit.gauge(memoryAvailable, float64(stat.Available))
	emit.gauge(memoryFree, float64(stat.Free))
	// gopsutil counts reclaimable slab as cache, like free(1) in its sum; /proc/meminfo does not.
	emit.gauge(memoryCached, float64(stat.Cached-stat.Sreclaimable))
	emit.gauge(memoryBuffers, float64(stat.Buffers))
	emit.gauge(swapTotal, float64(stat.SwapTotal))
	emit.gauge(swapFree, float64(stat.SwapFree))
	return nil
}

// kills leaves the counter out on kernels before 4.13, which do not have it.
func (m *Memory) kills(emit Emit) error {
	value, found, err := procField(m.procRoot, "vmstat", "oom_kill")
	if found {
		emit.counter(oomKills, value)
	}
	return err
}
