package moodle

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/moodle-exporter/moodle-exporter/internal/dbserver"
)

// Activity is what goes on in a site, as its database tells. What could not be read, or what the site does not keep, is nil.
type Activity struct {
	Users         map[string]float64 // accounts by status: see userStatuses
	Active        []float64          // users seen in each of ActiveWindows
	Courses       map[bool]float64   // by visibility, without the front page
	Sessions      *float64           // that have not timed out, those of guests included
	Logins        *Logins
	Tasks         map[string]TaskCounts // by kind: scheduled, adhoc
	TasksComplete bool                  // false: the site logs failed tasks only
	Plugins       map[string]string     // component to installed version
	Updates       *Updates
}

// Logins are attempts to log in since counting began.
type Logins struct{ Succeeded, Failed float64 }

// ActiveWindows are how long ago a user may have been seen to count as active.
var ActiveWindows = []time.Duration{5 * time.Minute, 24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour}

// userStatuses are conditions of which every account meets exactly one. A deleted account stays in the table for ever;
// an unconfirmed one was made by somebody who has not answered the mail yet, and goes after a week.
var userStatuses = []struct{ name, condition string }{
	{"active", "deleted = 0 AND suspended = 0 AND confirmed <> 0"},
	{"unconfirmed", "deleted = 0 AND suspended = 0 AND confirmed = 0"},
	{"suspended", "deleted = 0 AND suspended <> 0"},
	{"deleted", "deleted <> 0"},
}

// ActivityReader reads the activity of sites and remembers how far it has counted their logs.
type ActivityReader struct {
	clock func() time.Time
	logs  *LogCounter
}

// NewActivityReader returns a reader whose counters are 0.
func NewActivityReader(clock func() time.Time) *ActivityReader {
	return &ActivityReader{clock: clock, logs: NewLogCounter()}
}

// Read reads the activity of a site, each statement in its own turn on the connection. What one statement fails at does
// not keep the others from being tried, unless the server is gone. The error names all that failed.
// Tables and settings are those of Moodle 3.11 to 5.1.
func (r *ActivityReader) Read(ctx context.Context, db *dbserver.Connection, site *Site) (*Activity, error) {
	a := &Activity{}
	settings, err := site.readActivitySettings(ctx, db)
	if err != nil {
		return a, fmt.Errorf("read settings of site %s: %w", site.Name, err)
	}
	// The ends of the logs are taken first and reached last: rows with smaller ids, whose transactions are not through
	// yet, have time to come up.
	ends := map[string]int64{}
	var failures []error
	for _, part := range []struct {
		what string
		read func() error
	}{
		{"the ends of the logs", func() error { return site.readEnds(ctx, db, settings, ends) }},
		{"users", func() error { return a.readUsers(ctx, db, site, r.clock()) }},
		{"courses", func() error { return a.readCourses(ctx, db, site) }},
		{"sessions", func() error { return a.readSessions(ctx, db, site, settings, r.clock()) }},
		{"plugins", func() error { return a.readPlugins(ctx, db, site, settings, r.clock()) }},
		{"logins", func() error { return a.readLogins(ctx, db, site, r.logs, ends) }},
		{"results of tasks", func() error { return a.readTaskLog(ctx, db, site, r.logs, ends, settings) }},
	} {
		if err := part.read(); err != nil {
			failures = append(failures, fmt.Errorf("read %s of site %s: %w", part.what, site.Name, err))
			if !answered(err) {
				break
			}
		}
	}
	return a, errors.Join(failures...)
}

// answered says whether an error came from a server that is there and can be asked something else.
func answered(err error) bool {
	var refused *mysql.MySQLError
	return errors.As(err, &refused)
}

// activitySettings are settings under plugin/name, core for those of the site itself.
type activitySettings map[string]string

func (s *Site) readActivitySettings(ctx context.Context, db *dbserver.Connection) (activitySettings, error) {
	var settings activitySettings
	err := db.Use(ctx, func(ctx context.Context, conn *sql.Conn) (err error) {
		settings, err = readSettings(ctx, conn, "SELECT CONCAT('core/', name), value FROM "+s.quoted("config")+
			" WHERE name IN ('version', 'sessiontimeout', 'task_logmode', 'updateautocheck', 'disableupdatenotifications', 'updateminmaturity', 'updatenotifybuilds')"+
			" UNION ALL SELECT CONCAT(plugin, '/', name), value FROM "+s.quoted("config_plugins")+
			" WHERE plugin = 'tool_log' AND name = 'enabled_stores' OR plugin = 'core_plugin' AND name IN ('recentfetch', 'recentresponse')")
		return err
	})
	return settings, err
}

// number is a setting that is a number, or what Moodle takes where it is not set.
func (s activitySettings) number(name string, otherwise int64) int64 {
	if value, err := strconv.ParseInt(s[name], 10, 64); err == nil {
		return value
	}
	return otherwise
}

func (a *Activity) readUsers(ctx context.Context, db *dbserver.Connection, site *Site, now time.Time) error {
	w := walk{table: "user", columns: "id, deleted, suspended, confirmed, lastaccess"}
	for _, status := range userStatuses {
		w.sums = append(w.sums, status.condition)
	}
	for _, window := range ActiveWindows {
		w.sums, w.values = append(w.sums, "deleted = 0 AND lastaccess > ?"), append(w.values, now.Add(-window).Unix())
	}
	total := make([]float64, len(w.sums))
	err := w.over(ctx, db, site, 0, func(_ int64, sums []float64) {
		for i := range total {
			total[i] += sums[1+i]
		}
	})
	if err != nil {
		return err
	}
	a.Users = make(map[string]float64, len(userStatuses))
	for i, status := range userStatuses {
		a.Users[status.name] = total[i]
	}
	a.Active = total[len(userStatuses):]
	return nil
}

func (a *Activity) readCourses(ctx context.Context, db *dbserver.Connection, site *Site) error {
	var shown, hidden float64
	err := site.readRow(ctx, db, "SELECT COALESCE(SUM(visible <> 0), 0), COALESCE(SUM(visible = 0), 0) FROM "+site.quoted("course")+
		" WHERE category <> 0", nil, &shown, &hidden)
	if err == nil {
		a.Courses = map[bool]float64{true: shown, false: hidden}
	}
	return err
}

// versionSessionsElsewhere is Moodle 4.5: from then on sessions that Redis keeps have no row in the database.
const versionSessionsElsewhere = "2024100700"

// readSessions counts the rows that have not timed out; cron removes others only now and then.
func (a *Activity) readSessions(ctx context.Context, db *dbserver.Connection, site *Site, settings activitySettings, now time.Time) error {
	if strings.Contains(site.Config.SessionHandler, "redis") && !Newer(versionSessionsElsewhere, cmp.Or(settings["core/version"], site.Version.Number)) {
		return nil
	}
	timeout := settings.number("core/sessiontimeout", 8*60*60)
	var count float64
	err := site.readRow(ctx, db, "SELECT COUNT(*) FROM "+site.quoted("sessions")+" WHERE timemodified > ?", []any{now.Unix() - timeout}, &count)
	if err == nil {
		a.Sessions = &count
	}
	return err
}
