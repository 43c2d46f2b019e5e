package collector

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
)

// once runs Update and returns what it emitted, with its error.
func once(t *testing.T, c Collector) (prometheus.Gatherer, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var emitted buffer
	updateErr := c.Update(ctx, emitted.add)
	families, err := assemble(emitted.close())
	if err != nil {
		t.Errorf("inconsistent series: %v", err)
	}
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return families, nil }), updateErr
}

// wantText compares all that c emits with a golden text, and lints it.
func wantText(t *testing.T, c Collector, text string) {
	t.Helper()
	page, err := once(t, c)
	if err != nil {
		t.Errorf("update %s: %v", c.Name(), err)
	}
	if err := testutil.GatherAndCompare(page, strings.NewReader(text)); err != nil {
		t.Error(err)
	}
	lint(t, page)
}

// lint allows only the one deliberate exception of the metrics contract.
func lint(t *testing.T, page prometheus.Gatherer) {
	t.Helper()
	problems, err := testutil.GatherAndLint(page)
	if err != nil {
		t.Error(err)
	}
	for _, p := range problems {
		if p.Metric != "moodle_certificate_days_left" {
			t.Errorf("%s: %s", p.Metric, p.Text)
		}
	}
}

func seriesOf(t *testing.T, c Collector) (map[string]float64, error) {
	t.Helper()
	page, err := once(t, c)
	families, _ := page.Gather()
	return values(families), err
}

func TestCPU(t *testing.T) {
	wantText(t, NewCPU("testdata/proc"), `
# HELP moodle_host_boot_time_seconds When the host was booted, as Unix time.
# TYPE moodle_host_boot_time_seconds gauge
moodle_host_boot_time_seconds 1.795359535e+09
# HELP moodle_host_cpu_seconds_total Time all CPUs together spent in each mode; user includes guests.
# TYPE moodle_host_cpu_seconds_total counter
moodle_host_cpu_seconds_total{mode="idle"} 400
moodle_host_cpu_seconds_total{mode="iowait"} 5
moodle_host_cpu_seconds_total{mode="irq"} 0.6
moodle_host_cpu_seconds_total{mode="nice"} 2
moodle_host_cpu_seconds_total{mode="softirq"} 0.7
moodle_host_cpu_seconds_total{mode="steal"} 0.8
moodle_host_cpu_seconds_total{mode="system"} 30
moodle_host_cpu_seconds_total{mode="user"} 10
# HELP moodle_host_cpus CPUs online.
# TYPE moodle_host_cpus gauge
moodle_host_cpus 2
# HELP moodle_host_load1 Load average over one minute.
# TYPE moodle_host_load1 gauge
moodle_host_load1 0.28
# HELP moodle_host_load15 Load average over fifteen minutes.
# TYPE moodle_host_load15 gauge
moodle_host_load15 12.25
# HELP moodle_host_load5 Load average over five minutes.
# TYPE moodle_host_load5 gauge
moodle_host_load5 1.39
`)
}

func TestMemory(t *testing.T) {
	wantText(t, NewMemory("testdata/proc"), `
# HELP moodle_host_memory_available_bytes Memory that programs can still get without swapping, as the kernel estimates it; reserved huge pages are not part of it.
# TYPE moodle_host_memory_available_bytes gauge
moodle_host_memory_available_bytes 1.536e+09
# HELP moodle_host_memory_buffers_bytes Buffers of block devices.
# TYPE moodle_host_memory_buffers_bytes gauge
moodle_host_memory_buffers_bytes 1.024e+08
# HELP moodle_host_memory_cached_bytes Page cache, without reclaimable slab.
# TYPE moodle_host_memory_cached_bytes gauge
moodle_host_memory_cached_bytes 7.168e+08
# HELP moodle_host_memory_free_bytes Memory used for nothing at all.
# TYPE moodle_host_memory_free_bytes gauge
moodle_host_memory_free_bytes 1.024e+09
# HELP moodle_host_memory_total_bytes Memory of the host.
# TYPE moodle_host_memory_total_bytes gauge
moodle_host_memory_total_bytes 8.192e+09
# HELP moodle_host_oom_kills_total Processes killed because memory ran out, since boot.
# TYPE moodle_host_oom_kills_total counter
moodle_host_oom_kills_total 3
# HELP moodle_host_swap_free_bytes Swap space not in use.
# TYPE moodle_host_swap_free_bytes gauge
moodle_host_swap_free_bytes 1.9456e+09
# HELP moodle_host_swap_total_bytes Swap space; 0 on a host without swap.
# TYPE moodle_host_swap_total_bytes gauge
moodle_host_swap_total_bytes 2.048e+09
`)
}

// writeProc makes a proc tree of the files given.
func writeProc(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestCPUCountersDoNotWaver(t *testing.T) {
	c := NewCPU("")
	for _, step := range []struct {
		idle string
		want float64
	}{
		{"10000", 100}, {"9999", 100}, {"9850", 100}, {"10001", 100.01}, {"500", 5},
	} {
		c.procRoot = writeProc(t, map[string]string{
			"stat":    "cpu 1 1 1 " + step.idle + " 1 1 1 1 1 1\ncpu0 1 1 1 1 1 1 1 1 1 1\nbtime 5\n",
			"loadavg": "0 0 0 1/1 1\n",
		})
		got, err := seriesOf(t, c)
		if err != nil || got["host_cpu_seconds_total{idle}"] != step.want {
			t.Errorf("idle %s: got %v, want %v (%v)", step.idle, got["host_cpu_seconds_total{idle}"], step.want, err)
		}
	}
}

func TestUnreadableProcIsAnErrorNotZero(t *testing.T) {
	for _, test := range []struct {
		name  string
		new   func(root string) Collector
		files map[string]string
		want  []string
	}{
		{"no stat", func(r string) Collector { return NewCPU(r) }, map[string]string{"loadavg": "1 2 3 1/1 1\n"}, []string{"host_load1{}", "host_load5{}", "host_load15{}"}},
		{"garbage", func(r string) Collector { return NewCPU(r) }, map[string]string{"stat": "cpu a b c\nbtime never\n", "loadavg": "1 2 3 1/1 1\n"}, []string{"host_load1{}", "host_load5{}", "host_load15{}"}},
		{"no meminfo", func(r string) Collector { return NewMemory(r) }, map[string]string{"vmstat": "oom_kill 1\n"}, []string{"host_oom_kills_total{}"}},
		{"broken meminfo", func(r string) Collector { return NewMemory(r) }, map[string]string{"meminfo": "MemTotal: x kB\n", "vmstat": "oom_kill x\n"}, nil},
	} {
		got, err := seriesOf(t, test.new(writeProc(t, test.files)))
		if err == nil {
			t.Errorf("%s: no error", test.name)
		}
		if len(got) != len(test.want) {
			t.Errorf("%s: emitted %v, want only %v", test.name, got, test.want)
		}
		for _, series := range test.want {
			if _, there := got[series]; !there {
				t.Errorf("%s: %s is missing", test.name, series)
			}
		}
	}
}

func TestOldKernelWithoutOOMCounter(t *testing.T) {
	got, err := seriesOf(t, NewMemory(writeProc(t, map[string]string{"meminfo": "MemTotal: 8 kB\nMemFree: 4 kB\nMemAvailable: 5 kB\n", "vmstat": "nr_free_pages 1\n"})))
	if _, there := got["host_oom_kills_total{}"]; err != nil || there {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestRealProc(t *testing.T) {
	for _, c := range []Collector{NewCPU("/proc"), NewMemory("/proc")} {
		got, err := seriesOf(t, c)
		if err != nil || len(got) < 7 {
			t.Errorf("%s: %v, %v", c.Name(), got, err)
		}
	}
}
