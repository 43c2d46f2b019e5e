package statuspage

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

const cronRunbook = "MoodleCronNotRunning"

// cron agrees with MoodleCronNotRunning. That cron was switched off by hand is a state of its own.
func cron(v *view, site string) []Line {
	last, started := v.get("cron_last_start_timestamp_seconds", "site", site)
	enabled, known := v.get("cron_enabled", "site", site)
	switch {
	case !started && !known:
		return v.missingFromDatabase(site, "cron", "cron_enabled")
	case !started:
		return []Line{{
			Level: Critical, Subject: "cron", Value: "has never run", Runbook: cronRunbook,
			Advice: "Mails, notifications, enrolments and clean-up stand still. Set up the web user's crontab or a timer that runs `admin/cli/cron.php` every minute.",
		}}
	}
	age, sensible := v.age(last)
	value := fmt.Sprintf("started %s ago", span(age))
	limit, set := v.threshold("cron_max_age_seconds")
	off := known && enabled == 0
	if off {
		value += ", switched off in Moodle"
	}
	switch {
	case !set:
		return []Line{noThreshold("cron", value, "cron_max_age_seconds")}
	case !sensible:
		return []Line{futureTime("cron")}
	case age > limit && off:
		return []Line{{
			Level: Critical, Subject: "cron", Value: value, Runbook: cronRunbook,
			Advice: "Somebody or an aborted update switched cron off; mails, enrolments and clean-up stand still. Switch it on as the web user with `php admin/cli/cron.php --enable`.",
		}}
	case age > limit:
		return []Line{{
			Level: Critical, Subject: "cron", Value: value, Runbook: cronRunbook,
			Advice: "Mails, notifications, enrolments and clean-up stand still. Look at the web user's crontab or cron timer, at maintenance mode and at a pending upgrade.",
		}}
	case off:
		return []Line{{
			Level: Warning, Subject: "cron", Value: value,
			Advice: "Cron was switched off in Moodle, and soon everything that it does stands still. Switch it on as the web user with `php admin/cli/cron.php --enable`.",
		}}
	}
	return []Line{{Level: OK, Subject: "cron", Value: value}}
}

// futureTime is the verdict on a moment that has not come yet: its age, which would be small, means nothing.
func futureTime(subject string) Line {
	return Line{
		Level: Unknown, Subject: subject, Value: "dated in the future",
		Advice: "The time on record lies ahead of this host's clock, so its age is not known. Compare the clocks (`timedatectl`) of this host and of the one that wrote it.",
	}
}

// retrySeconds is the wait before the next try from which a failing task is more than a hiccup: Moodle doubles it
// with every failure.
const retrySeconds = 3600

// tasks names the tasks that keep failing.
func tasks(v *view, site string) []Line {
	failing, known := v.get("tasks_failing", "site", site)
	if !known {
		return v.missingFromDatabase(site, "tasks", "tasks_failing")
	}
	value := "none failing"
	if failing > 0 {
		value = fmt.Sprintf("%.0f failing", failing)
	}
	if queued, some := v.get("task_adhoc_queued", "site", site); some && queued > 0 {
		oldest, _ := v.get("task_adhoc_oldest_age_seconds", "site", site)
		value += fmt.Sprintf(", %.0f ad hoc waiting, the first for %s", queued, span(oldest))
	}
	delays := v.all("task_fail_delay_seconds", "site", site)
	slices.SortStableFunc(delays, func(a, b sample) int {
		return cmp.Or(cmp.Compare(b.value, a.value), strings.Compare(a.labels["task"], b.labels["task"]))
	})
	var names []string
	for _, task := range delays {
		names = append(names, task.labels["task"])
	}
	if len(names) > 0 {
		value += ": " + list(names, 3)
	}
	if len(delays) == 0 || delays[0].value <= retrySeconds {
		return []Line{{Level: OK, Subject: "tasks", Value: value}}
	}
	return []Line{{
		Level: Warning, Subject: "tasks", Value: value, Runbook: "MoodleTaskFailing",
		Advice: fmt.Sprintf("%s has failed again and again, and Moodle waits %s before the next try. "+
			"Its error stands under Site administration, Server, Tasks, Task logs.", names[0], span(delays[0].value)),
	}}
}
