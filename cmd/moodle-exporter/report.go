package main

import (
	"context"

	"github.com/prometheus/common/version"

	"github.com/moodle-exporter/moodle-exporter/collector"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
	"github.com/moodle-exporter/moodle-exporter/internal/statuspage"
)

// report judges the host from what a scrape would show now, and adds the words that metrics cannot carry.
func (h *host) report(ctx context.Context, engine *collector.Engine, metricsPath string) statuspage.Report {
	families, err := engine.Gather(ctx)
	extras := statuspage.Extras{Version: version.Version, MetricsPath: metricsPath, Collectors: engine.Failures()}
	if err != nil {
		extras.Problems = append(extras.Problems, err.Error())
	}
	snapshot := h.view.Snapshot()
	if snapshot.Err != nil {
		extras.Problems = append(extras.Problems, snapshot.Err.Error())
	}
	if snapshot.Host != nil {
		extras.Problems = append(extras.Problems, snapshot.Host.Problems...)
	}
	for _, facts := range snapshot.Sites {
		extras.Problems = append(extras.Problems, facts.Problems...)
	}
	extras.Jobs = h.jobErrors()
	return statuspage.Evaluate(families, extras, h.clock())
}

// jobErrors are the reasons of runs that ended badly. Records that cannot be read are the job collector's to tell.
func (h *host) jobErrors() []statuspage.JobError {
	records, _ := job.Read(h.stateDir)
	var found []statuspage.JobError
	for _, record := range records {
		record = record.Settled(procRoot)
		if record.Error == "" || record.State == job.Running {
			continue
		}
		site := record.Site
		if site == config.HostName {
			site = ""
		}
		found = append(found, statuspage.JobError{Site: site, Job: record.Job, Text: record.Error})
	}
	return found
}
