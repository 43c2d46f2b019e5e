package statuspage

import (
	"fmt"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
)

// jobs judges every job that has ever run. It agrees with the alerts of jobRunbooks.
func jobs(v *view) []Line {
	known := v.pairs("site", "name", "job_running", "job_last_result")
	if len(known) == 0 && v.is(1, "scrape_collector_success", "collector", "job") {
		return []Line{{Level: Info, Subject: "jobs", Value: "none has run yet"}}
	}
	var lines []Line
	for _, pair := range known {
		line := job(v, pair[0], pair[1])
		line.Site, line.Subject = pair[0], pair[1]
		lines = append(lines, line)
	}
	return lines
}

// jobRunbooks are the alerts about failed jobs.
var jobRunbooks = map[string]string{
	"backup": "MoodleBackupFailed", "update": "MoodleUpdateFailed", "restore": "MoodleRestoreFailed", "drill": "MoodleRestoreDrillFailed",
	"copy": "MoodleJobFailed", "maintain": "MoodleJobFailed", "prune": "MoodleJobFailed", "verify": "MoodleJobFailed",
}

func job(v *view, site, name string) Line {
	if v.is(1, "job_running", "site", site, "name", name) {
		return running(v, site, name)
	}
	result, known := v.get("job_last_result", "site", site, "name", name)
	switch {
	case !known:
		return missing(name, "job_last_result")
	case result == 1:
		return Line{Level: OK, Value: ended(v, site, name, "done")}
	}
	line := Line{
		Level: Warning, Value: ended(v, site, name, failed),
		Advice: strings.TrimSpace(v.reason(site, name) + fmt.Sprintf(" Its log is shown by `moodle-exporter jobs show`; correct what it names, then run %s again.", name)),
	}
	line.Runbook = jobRunbooks[name]
	switch name {
	case "backup":
		line.Advice = "Earlier backups are untouched, but nothing newer can be restored. " + line.Advice
	case "update", "restore":
		line.Level = Critical // it may have left the site half-way
	}
	return line
}

// running shows how far a job is and, from the time it took so far, how long it will still take.
func running(v *view, site, name string) Line {
	value := "running"
	start, known := v.get("job_last_start_timestamp_seconds", "site", site, "name", name)
	age, sensible := v.age(start)
	timed := known && sensible
	if timed {
		value += " for " + span(age)
	}
	progress, measured := v.get("job_progress_ratio", "site", site, "name", name)
	if !measured {
		return Line{Level: OK, Value: value}
	}
	progress = min(1, max(0, progress))
	value += fmt.Sprintf(", %s done", percent(progress))
	if timed && progress > 0 && progress < 1 {
		value += fmt.Sprintf(", about %s left", span(age*(1-progress)/progress))
	}
	return Line{Level: OK, Value: value, Progress: &progress}
}

// failed is the word for a run that did not do its work: of those the hour is told too, to be looked up in logs.
const failed = "failed"

// ended writes how long ago a job ended and how long it took.
func ended(v *view, site, name, how string) string {
	text := how
	if end, known := v.get("job_last_end_timestamp_seconds", "site", site, "name", name); known {
		age, _ := v.age(end)
		text += fmt.Sprintf(" %s ago", span(age))
		if how == failed {
			text += fmt.Sprintf(" (%s)", v.moment(end))
		}
	}
	if took, known := v.get("job_last_duration_seconds", "site", site, "name", name); known {
		text += ", took " + span(took)
	}
	return text
}

// reason is why the last run of a job failed, as a sentence with a space before it, or nothing.
func (v *view) reason(site, name string) string {
	for _, failure := range v.extras.Jobs {
		if failure.Job == name && (failure.Site == site || failure.Site == config.HostName && site == "") && failure.Text != "" {
			return fmt.Sprintf(" The error: %s.", strings.TrimRight(failure.Text, ". \n"))
		}
	}
	return ""
}

// pastErrors tells of failures that a later run has made good, or stands for now.
func pastErrors(v *view) []Line {
	var lines []Line
	for _, failure := range v.extras.Past {
		lines = append(lines, Line{
			Level: Info, Site: failure.Site, Subject: "earlier error",
			Value: fmt.Sprintf("%s, %s: %s", failure.Job, failure.Ended.In(v.zone).Format("2006-01-02 15:04"), failure.Text),
		})
	}
	return lines
}
