package main

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/prometheus/common/expfmt"

	"github.com/moodle-exporter/moodle-exporter/collector"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

// textfileName is the file that node_exporter's textfile collector finds.
const textfileName = "moodle_exporter_jobs.prom"

// writeTextfile writes the job metrics for node_exporter, for hosts where serve does not run. It replaces
// the file in one step: node_exporter drops a file that it catches half written.
func (e *environment) writeTextfile(ctx context.Context) error {
	if e.textfile == "" {
		return nil
	}
	engine := collector.New(e.logger, e.clock, 0, collector.NewJob(e.stateDir, procRoot, e.clock))
	families, err := engine.Gather(ctx)
	if err != nil {
		return fmt.Errorf("write the metrics for node_exporter: %w", err)
	}
	var text bytes.Buffer
	for _, family := range families {
		name := family.GetName()
		// What tells of the exporter itself stays out: serve on the same host shows it as well.
		if strings.HasPrefix(name, "moodle_scrape_") || strings.HasPrefix(name, "moodle_exporter_") {
			continue
		}
		if _, err := expfmt.MetricFamilyToText(&text, family); err != nil {
			return fmt.Errorf("write the metrics for node_exporter: %w", err)
		}
	}
	return job.WriteFile(filepath.Join(e.textfile, textfileName), text.Bytes(), 0o644, -1)
}

// watch shows a run on a terminal, and keeps node_exporter's file up to date with it.
func (e *environment) watch(ctx context.Context, bar *bar) func(job.Record) {
	failed := false
	return func(record job.Record) {
		bar.show(record)
		if err := e.writeTextfile(ctx); err != nil && !failed {
			failed = true // once is enough
			e.logger.Warn("node_exporter does not see this run", "err", err)
		}
	}
}
