package main

import (
	"context"
	"slices"
	"time"

	"github.com/prometheus/common/version"

	"github.com/moodle-exporter/moodle-exporter/collector"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
	"github.com/moodle-exporter/moodle-exporter/internal/probe"
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
		extras.Exposed = h.exposed("", snapshot.Host.Secrets, snapshot.Host.Taken)
	}
	for _, facts := range snapshot.Sites {
		extras.Problems = append(extras.Problems, facts.Problems...)
		extras.Exposed = append(extras.Exposed, h.exposed(facts.Name, facts.Secrets, facts.Taken)...)
	}
	extras.Jobs, extras.Past = h.jobErrors()
	var unread []string
	extras.Restores, unread = h.restores()
	extras.Problems = append(extras.Problems, unread...)
	return statuspage.Evaluate(families, extras, h.clock())
}

// exposed are the words to the metric of the same name, which is not told from a look that is too old.
func (h *host) exposed(site string, secrets *probe.Secrets, taken time.Time) (list []statuspage.Exposed) {
	if secrets != nil && probe.Fresh(taken, h.clock()) {
		for _, one := range secrets.Exposed {
			list = append(list, statuspage.Exposed{Site: site, Exposed: one})
		}
	}
	return list
}

const (
	pastErrors  = 5                   // shown of runs that another one has followed
	pastHorizon = 14 * 24 * time.Hour // beyond which they are nobody's concern
)

// jobErrors are the reasons of last runs that ended badly, and of the newest such runs before them. Records that cannot be
// read are the job collector's to tell, and a history that cannot be is no news.
func (h *host) jobErrors() (last, past []statuspage.JobError) {
	records, _ := job.Read(h.stateDir)
	newest := map[string]bool{}
	for _, record := range records {
		record = record.Settled(procRoot)
		newest[record.ID+record.Site+record.Job] = true
		if record.Error != "" && record.State != job.Running {
			last = append(last, jobError(&record))
		}
	}
	history, _ := job.History(h.stateDir)
	for _, record := range slices.Backward(history) {
		if len(past) == pastErrors || record.Ended == nil || h.clock().Sub(*record.Ended) > pastHorizon {
			break
		}
		if record.Error != "" && !newest[record.ID+record.Site+record.Job] {
			past = append(past, jobError(&record))
		}
	}
	return last, past
}

func jobError(record *job.Record) statuspage.JobError {
	failure := statuspage.JobError{Site: record.Site, Job: record.Job, Text: record.Error}
	if record.Ended != nil {
		failure.Ended = *record.Ended
	}
	if failure.Site == config.HostName {
		failure.Site = ""
	}
	return failure
}
