package main

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/moodle-exporter/moodle-exporter/collector"
	"github.com/moodle-exporter/moodle-exporter/internal/statuspage"
)

// full is a host with a tenth of its memory left.
type full struct{}

func (full) Name() string { return "memory" }

func (full) Update(_ context.Context, emit collector.Emit) error {
	for name, value := range map[string]float64{"total": 100, "available": 10} {
		desc := prometheus.NewDesc("moodle_host_memory_"+name+"_bytes", "Memory.", nil, nil)
		emit(prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value))
	}
	return nil
}

func TestSample(t *testing.T) {
	now := time.Date(2026, time.March, 2, 9, 30, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	h := &host{environment: &environment{clock: clock}}
	engine := collector.New(slog.New(slog.DiscardHandler), clock, 0, full{})
	history := statuspage.NewHistory()

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	h.sample(ended, engine, history)
	if trend := history.Trend(now); !trend.Since.IsZero() {
		t.Errorf("a sample that was cut short by the end of the program is kept: %+v", trend)
	}
	h.sample(t.Context(), engine, history)
	trend := history.Trend(now)
	if !trend.Since.Equal(now) || len(trend.Charts) != 1 || trend.Charts[0].Last != "10 %" {
		t.Errorf("%+v", trend)
	}
}
