package statuspage

import (
	"fmt"
	"math"
)

// graph is one thing that the history draws, with a line for each thing that has it.
type graph struct {
	name string
	show func(float64) string
	rate bool    // drawn is the growth of a counter, by what it is counted per
	top  float64 // upper end of the scale; 0: as the values need it
	low  bool    // the limit is one not to fall below
	read func(*view) []reading
}

// reading is one value of a graph. Of is empty for what a host has once.
type reading struct {
	of         string
	value, per float64
	limit      float64
}

// noReading stands for a sample that did not come. It equals itself, which NaN does not.
var noReading = reading{limit: -1}

// graphs is everything that is drawn. A new one is a line here.
func graphs() []graph {
	return []graph{
		{name: "Login page", show: brief, read: loginTimes},
		{name: "Users online", show: whole, read: perSeries("users_active", "site", "", "window", "5m")},
		{name: "PHP-FPM busy", show: whole, read: busyChildren},
		{name: "Requests", show: perSecond, rate: true, read: requests},
		{name: "Database busy", show: whole, read: perSeries("database_threads_running", "server", "db_threads_running")},
		{name: "CPU busy", show: percent, rate: true, top: 1, read: busyCPU},
		{name: "Memory available", show: percent, top: 1, low: true, read: freeMemory},
	}
}

func whole(value float64) string { return fmt.Sprintf("%.0f", value) }

func perSecond(value float64) string { return fmt.Sprintf("%.3g/s", value) }

// limit is a threshold to draw, NaN where it is not known.
func (v *view) limit(name string) float64 {
	if limit, set := v.threshold(name); set {
		return limit
	}
	return math.NaN()
}

// perSeries draws a metric as it is, a line for each value of a label.
func perSeries(metric, label, threshold string, labels ...string) func(*view) []reading {
	return func(v *view) []reading {
		var found []reading
		for _, s := range v.all(metric, labels...) {
			found = append(found, reading{of: s.labels[label], value: s.value, limit: v.limit(threshold)})
		}
		return found
	}
}

// loginTimes leaves out visits that failed: an error page that comes fast is no fast site, but a gap.
func loginTimes(v *view) []reading {
	var found []reading
	for _, s := range v.all("web_probe_duration_seconds") {
		if site := s.labels["site"]; v.is(1, "web_probe_success", "site", site) {
			found = append(found, reading{of: site, value: s.value, limit: v.limit("web_slow_seconds")})
		}
	}
	return found
}

func busyChildren(v *view) []reading {
	var found []reading
	for _, s := range v.all("phpfpm_processes", "state", "active") {
		server, pool := s.labels["server"], s.labels["pool"]
		most, bounded := v.get("phpfpm_max_children", "server", server, "pool", pool)
		if !bounded {
			most = math.NaN()
		}
		found = append(found, reading{of: server + " " + pool, value: s.value, limit: most})
	}
	return found
}

func requests(v *view) []reading {
	var found []reading
	for _, s := range v.all("nginx_requests_total") {
		found = append(found, reading{of: s.labels["server"], value: s.value, per: v.now, limit: math.NaN()})
	}
	return found
}

// busyCPU is the part of the time that all CPUs together neither idled nor waited for a disk.
func busyCPU(v *view) []reading {
	busy, all := 0.0, 0.0
	for _, s := range v.all("host_cpu_seconds_total") {
		all += s.value
		if mode := s.labels["mode"]; mode != "idle" && mode != "iowait" {
			busy += s.value
		}
	}
	if all == 0 {
		return nil
	}
	return []reading{{value: busy, per: all, limit: v.limit("cpu_busy_ratio")}}
}

func freeMemory(v *view) []reading {
	total, known := v.get("host_memory_total_bytes")
	available, measured := v.get("host_memory_available_bytes")
	if !known || !measured || total <= 0 {
		return nil
	}
	return []reading{{value: available / total, limit: v.limit("memory_available_ratio")}}
}
