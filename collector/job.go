package collector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

var (
	jobRunning     = jobDesc("running", "1 while the job runs.")
	jobProgress    = jobDesc("progress_ratio", "Part of its bytes that the running job has done, from 0 to 1.")
	jobLastStart   = jobDesc("last_start_timestamp_seconds", "When the job last started, as Unix time.")
	jobLastEnd     = jobDesc("last_end_timestamp_seconds", "When the last run ended, as Unix time.")
	jobLastSuccess = jobDesc("last_success_timestamp_seconds", "When the job last ended well, as Unix time; a failure does not change it.")
	jobDuration    = jobDesc("last_duration_seconds", "How long the last run took.")
	jobResult      = jobDesc("last_result", "1 if the last finished run did its work, 0 if it failed or was interrupted.")
	jobRuns        = jobDesc("runs_total", "Runs started.")
	jobFailures    = jobDesc("failures_total", "Runs that failed or were interrupted.")
	jobStep        = jobDesc("step_duration_seconds", "How long each finished step of the last run took.", "step")

	maintenancePlanned = desc("maintenance", "planned_until_timestamp_seconds",
		"When the running job that closed the site said that it would be done, as Unix time.", "site")
)

// clockSkew is how far ahead of the clock a time of a record may be.
const clockSkew = time.Minute

// Job reads what the jobs of this product write down about their runs.
type Job struct {
	stateDir, procRoot string
	clock              func() time.Time
}

// NewJob reads the records below stateDir. procRoot is /proc but in tests.
func NewJob(stateDir, procRoot string, clock func() time.Time) *Job {
	return &Job{stateDir: stateDir, procRoot: procRoot, clock: clock}
}

// Name implements Collector.
func (*Job) Name() string { return "job" }

// Update implements Collector. A record that cannot be read does not hide the others.
func (j *Job) Update(_ context.Context, emit Emit) error {
	records, err := job.Read(j.stateDir)
	planned := make(map[string]time.Time)
	for _, record := range records {
		record = record.Settled(j.procRoot)
		err = errors.Join(err, emitRecord(emit, &record, j.clock()))
		until := record.PlannedUntil
		if record.State == job.Running && until != nil && until.After(planned[record.Site]) {
			planned[record.Site] = *until
		}
	}
	for site, until := range planned {
		emit.gauge(maintenancePlanned, epochSeconds(until), siteLabel(site))
	}
	return err
}

func emitRecord(emit Emit, record *job.Record, now time.Time) error {
	labels := []string{siteLabel(record.Site), record.Job}
	running := record.State == job.Running
	emit.gauge(jobRunning, flag(running), labels...)
	emit.counter(jobRuns, float64(record.Runs), labels...)
	emit.counter(jobFailures, float64(record.Failures), labels...)
	if running && record.TotalBytes > 0 {
		emit.gauge(jobProgress, min(1, float64(record.DoneBytes)/float64(record.TotalBytes)), labels...)
	}
	if last, ended := record.Result(); ended {
		emit.gauge(jobResult, flag(last.Good()), labels...)
	}
	if duration, ended := record.Duration(); ended && duration >= 0 && !record.Ended.After(now.Add(clockSkew)) {
		emit.gauge(jobDuration, duration.Seconds(), labels...)
	}
	for step, length := range stepLengths(record.Steps) {
		emit.gauge(jobStep, length.Seconds(), labels[0], labels[1], step)
	}
	ahead := false
	show := func(d *prometheus.Desc, at *time.Time) {
		switch {
		case at == nil || at.Unix() <= 0:
		case at.After(now.Add(clockSkew)):
			ahead = true
		default:
			emit.gauge(d, epochSeconds(*at), labels...)
		}
	}
	show(jobLastStart, &record.Started)
	show(jobLastEnd, record.Ended)
	show(jobLastSuccess, record.LastSuccess)
	if ahead {
		// An age that is negative would keep every alert about it silent.
		return fmt.Errorf("the record of job %s of site %s is dated in the future and is not shown: was the clock wrong?", record.Job, record.Site)
	}
	return nil
}

// stepLengths are those of the finished steps; a step that came up twice counts as one.
func stepLengths(steps []job.Step) map[string]time.Duration {
	lengths := make(map[string]time.Duration)
	for _, step := range steps {
		if step.Ended != nil && !step.Ended.Before(step.Started) {
			lengths[step.Name] += step.Ended.Sub(step.Started)
		}
	}
	return lengths
}

func jobDesc(name, help string, more ...string) *prometheus.Desc {
	return desc("job", name, help, append([]string{"site", "name"}, more...)...)
}

// siteLabel is empty for what belongs to the whole host.
func siteLabel(site string) string {
	if site == config.HostName {
		return ""
	}
	return site
}

// epochSeconds is a time as Prometheus wants it, to the millisecond.
func epochSeconds(at time.Time) float64 { return float64(at.UnixMilli()) / 1000 }
