package statuspage_test

import (
	"flag"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/statuspage"
)

// pages is where the pages are to be written, for a browser to show them: the pictures in docs/screenshots are of these.
var pages = flag.String("pages", "", "`directory` to write the healthy and the broken page to")

// hours are six hours of a morning: users come, two of the samples are lost, and what is broken breaks an hour before the end.
func hours(t testing.TB, broken bool) *statuspage.History {
	t.Helper()
	history := statuspage.NewHistory()
	requests, busy := 1e6, 1e5
	for i := range 360 {
		at := now.Add(time.Duration(i-359) * time.Minute)
		morning := 1 / (1 + math.Exp(-(float64(i)-180)/50))
		noise := noiseAt(i)
		trouble := 0.0
		if broken {
			trouble = max(0, float64(i-300)/60)
		}
		requests += 60 * (2 + 70*morning*(1+0.2*noise))
		busy += 240 * min(1, 0.08+0.3*morning*(1+0.3*noise)+0.62*trouble)
		if i > 96 && i < 108 {
			continue
		}
		history.Record(parse(t, sampleOf(i, morning, noise, trouble, requests, busy), at), at)
	}
	return history
}

// noiseAt is between -1 and 1 and the same at each run.
func noiseAt(i int) float64 {
	_, fraction := math.Modf(math.Abs(math.Sin(float64(i)*12.9898)) * 43758.5453)
	return 0.7*(2*fraction-1) + 0.3*math.Sin(float64(i)/7)
}

func sampleOf(i int, morning, noise, trouble, requests, busy float64) string {
	var b strings.Builder
	put := func(series string, value float64) { fmt.Fprintf(&b, "moodle_%s %g\n", series, value) }
	put(`threshold{name="web_slow_seconds"}`, 3)
	put(`threshold{name="cpu_busy_ratio"}`, 0.9)
	put(`threshold{name="memory_available_ratio"}`, 0.1)
	put(`threshold{name="db_threads_running"}`, 40)
	for site, share := range map[string]float64{"lms": 1, "exam": 0.2} {
		put(fmt.Sprintf(`web_probe_success{site=%q}`, site), 1-math.Ceil(trouble*share-0.25))
		put(fmt.Sprintf(`web_probe_duration_seconds{site=%q}`, site), 0.15+0.03*share+0.13*morning+0.05*noise*morning+6*trouble*(1.2-share))
		put(fmt.Sprintf(`users_active{site=%q,window="5m"}`, site), math.Round(share*(2+41*morning*(1+0.1*noise))*(1-trouble*0.9)))
	}
	put(`phpfpm_processes{server="8.2",pool="www",state="active"}`, math.Round(min(40, 1+3*morning*(1+noise)+60*trouble)))
	put(`phpfpm_max_children{server="8.2",pool="www"}`, 40)
	put(`nginx_requests_total{server="127.0.0.1:8089"}`, requests)
	put(`database_threads_running{server="/run/mysqld/mysqld.sock"}`, math.Round(1+2*morning*(1+noise)+38*trouble))
	put(`host_cpu_seconds_total{mode="user"}`, busy)
	put(`host_cpu_seconds_total{mode="idle"}`, 2e5+240*float64(i)-busy)
	put(`host_memory_total_bytes`, 1.68e10)
	put(`host_memory_available_bytes`, 1.68e10*(0.62-0.08*morning-0.01*noise-0.48*trouble))
	return b.String()
}

func TestShow(t *testing.T) {
	if *pages == "" {
		return
	}
	for name, extras := range map[string]statuspage.Extras{"healthy": {Version: "0.3.0"}, "broken": brokenExtras} {
		report := load(t, name, extras)
		report.Trend = hours(t, name == "broken").Trend(now)
		write(t, filepath.Join(*pages, name+".html"), serve(t, report).Body.Bytes())
	}
}
