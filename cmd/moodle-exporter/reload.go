package main

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/moodle-exporter/moodle-exporter/collector"
)

// reloads are the two gauges that tell how the last reading of the configuration went.
type reloads struct {
	successful prometheus.Gauge
	timestamp  prometheus.Gauge
}

func newReloads() *reloads {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: collector.Namespace, Subsystem: "exporter", Name: name, Help: help})
	}
	return &reloads{
		successful: gauge("config_last_reload_successful", "1 if the configuration was good when it was last read; a bad one leaves the old in force."),
		timestamp:  gauge("config_last_reload_success_timestamp_seconds", "When a good configuration was last read, as Unix time."),
	}
}

// Describe implements prometheus.Collector.
func (r *reloads) Describe(to chan<- *prometheus.Desc) {
	r.successful.Describe(to)
	r.timestamp.Describe(to)
}

// Collect implements prometheus.Collector.
func (r *reloads) Collect(to chan<- prometheus.Metric) {
	r.successful.Collect(to)
	r.timestamp.Collect(to)
}

// reload reads the configuration again. A bad one changes nothing but the gauge.
func (h *host) reload() error {
	settings, err := h.config()
	if err != nil {
		h.reloads.successful.Set(0)
		h.logger.Error("the configuration cannot be used, the old one stays in force", "err", err)
		return fmt.Errorf("reload: %w", err)
	}
	h.settings.Store(settings)
	h.view.Configure(settings.Sites)
	h.loaded()
	h.logger.Info("configuration reloaded")
	for _, told := range []chan struct{}{h.changed, h.relook} {
		select {
		case told <- struct{}{}:
		default: // told already, and not yet at work on it
		}
	}
	return nil
}

// loaded notes a good configuration.
func (h *host) loaded() {
	h.reloads.successful.Set(1)
	h.reloads.timestamp.Set(float64(h.clock().UnixMilli()) / 1000)
}
