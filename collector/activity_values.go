package collector

import (
	"strconv"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

var (
	siteUsers = desc("", "users",
		"Accounts: active, suspended, unconfirmed (registered, mail not answered) or deleted (Moodle keeps their row); the guest account counts.", "site", "status")
	siteUsersActive = desc("users", "active", "Users seen within the window.", "site", "window")
	siteCourses     = desc("", "courses", "Courses, without the front page.", "site", "visible")
	siteSessions    = desc("", "sessions",
		"Sessions that have not timed out, those of guests included; absent where Redis keeps them and cannot be asked.", "site")
	siteQuizAttempts = desc("quiz", "attempts_in_progress", "Quiz attempts of students that have begun and are not handed in, those past their time included.", "site")
	siteLogins       = desc("", "logins_total", "Logins since the exporter started, by Moodle's standard log; absent while that is off.", "site")
	siteLoginsFailed = desc("login", "failures_total", "Failed logins since the exporter started, by Moodle's standard log; absent while that is off.", "site")
	taskRuns         = desc("task", "runs_total",
		"Runs of tasks that have ended since the exporter started, by Moodle's log of tasks; absent while that keeps failures only, or nothing.", "site", "kind")
	taskFailures  = desc("task", "failures_total", "Failed runs of tasks since the exporter started, by Moodle's log of tasks; absent while that is off.", "site", "kind")
	taskDuration  = desc("task", "duration_seconds_total", "Time that the counted runs of tasks took.", "site", "kind")
	siteFiles     = desc("", "files", "Entries in Moodle's table of files, directories included; a content that is stored once and used twice counts twice. Read every six hours.", "site")
	siteFileBytes = desc("files", "bytes", "Size of all entries in Moodle's table of files; a content that is stored once and used twice counts twice.", "site")

	siteSupportEnd = desc("site", "release_support_end_timestamp_seconds", "When the site's branch of Moodle gets its last security fixes, as Unix time; absent for an unknown branch.", "site")
	pluginsMissing = desc("plugins", "missing", "Plugins that are installed in the database and whose code is gone; absent without a recent privileged look.", "site")
	pluginUpdates  = desc("plugin", "updates_available", "Plugins with a newer version, as Moodle itself has found; absent if it has not asked for three days.", "site")
	coreUpdate     = desc("core", "update_available", "1 if there is a newer release of the site's branch, as Moodle itself has found; absent if it has not asked for three days.", "site")
)

// emitActivity shows what was read; what was not is nil, or found itself.
func (a *Activity) emitActivity(emit Emit, site *moodle.Site, found *moodle.Activity) {
	if found == nil {
		return
	}
	for status, count := range found.Users {
		emit.gauge(siteUsers, count, site.Name, status)
	}
	for i, count := range found.Active {
		emit.gauge(siteUsersActive, count, site.Name, windowLabel(moodle.ActiveWindows[i]))
	}
	for visible, count := range found.Courses {
		emit.gauge(siteCourses, count, site.Name, strconv.FormatBool(visible))
	}
	if found.Sessions != nil {
		emit.gauge(siteSessions, *found.Sessions, site.Name)
	}
	if found.Logins != nil {
		emit.counter(siteLogins, found.Logins.Succeeded, site.Name)
		emit.counter(siteLoginsFailed, found.Logins.Failed, site.Name)
	}
	for kind, tasks := range found.Tasks {
		emit.counter(taskFailures, tasks.Failures, site.Name, kind)
		if found.TasksComplete {
			emit.counter(taskRuns, tasks.Runs, site.Name, kind)
			emit.counter(taskDuration, tasks.Seconds, site.Name, kind)
		}
	}
	a.emitPlugins(emit, site, found)
}

func (a *Activity) emitPlugins(emit Emit, site *moodle.Site, found *moodle.Activity) {
	if found.Updates != nil {
		emit.gauge(pluginUpdates, float64(found.Updates.Plugins), site.Name)
		emit.gauge(coreUpdate, flag(found.Updates.Core), site.Name)
	}
	if onDisk, known := a.Plugins(site); known && found.Plugins != nil {
		emit.gauge(pluginsMissing, float64(len(onDisk.Missing(found.Plugins))), site.Name)
	}
}

// windowLabel is 5m, 24h, 7d.
func windowLabel(window time.Duration) string {
	switch hours := int(window.Hours()); {
	case hours == 0:
		return strconv.Itoa(int(window.Minutes())) + "m"
	case hours <= 24:
		return strconv.Itoa(hours) + "h"
	default:
		return strconv.Itoa(hours/24) + "d"
	}
}
