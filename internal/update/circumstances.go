package update

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/backup/tree"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

// planRemoved names activities that the new Moodle does not bring along any more, and that have been used: their data goes
// with them.
func (u *update) planRemoved(ctx context.Context) error {
	return ask(u.Site, func(db *sql.DB) error {
		for component := range u.disk.Dirs {
			_, there := u.fresh.Dirs[component]
			name, activity := strings.CutPrefix(component, "mod_")
			if there || !activity || !slices.Contains(u.fresh.Dropped, component) {
				continue
			}
			// Not the rows of its own table: mdl_survey begins with five templates, which nobody uses.
			used, err := count(ctx, db, "SELECT COUNT(*) FROM "+table(u.Site, "course_modules")+" a JOIN "+table(u.Site, "modules")+" m ON m.id = a.module WHERE m.name = ?", name)
			if err != nil {
				return fmt.Errorf("ask whether %s is used: %w", component, err)
			}
			if used > 0 {
				u.plan.word("keep it as a plugin of its own: --plugin="+component+"=FILE.zip", "the new Moodle does not bring %s any more, and %d activities of that kind would be deleted", component, used)
			}
		}
		return nil
	})
}

// quizMargin is how long before and after the closed time no quiz should begin or end.
const quizMargin = 30 * time.Minute

// planPeople looks for students whom a closed site would cost an exam.
func (u *update) planPeople(ctx context.Context) error {
	now := u.Clock()
	until := now.Add(u.closedTime() + quizMargin)
	return ask(u.Site, func(db *sql.DB) error {
		// Indexed by (state, timecheckstate); previews are those of teachers.
		working, err := count(ctx, db, "SELECT COUNT(*) FROM "+table(u.Site, "quiz_attempts")+" WHERE state IN ('inprogress', 'overdue') AND preview = 0")
		if err != nil {
			return fmt.Errorf("ask for students at a quiz: %w", err)
		}
		if working > 0 {
			u.plan.word("wait until they are done, or say so with --yes", "%d attempts at a quiz are in progress", working)
		}
		due, err := count(ctx, db, "SELECT COUNT(*) FROM "+table(u.Site, "quiz")+" WHERE timeopen BETWEEN ? AND ? OR timeclose BETWEEN ? AND ?",
			now.Unix(), until.Unix(), now.Unix(), until.Unix())
		if err != nil {
			return fmt.Errorf("ask for quizzes that are due: %w", err)
		}
		if due > 0 {
			u.plan.word("choose another time, or say so with --yes", "%d quizzes begin or end before %s", due, until.Local().Format("15:04"))
		}
		state, err := u.cronState(ctx, db)
		if err != nil {
			return err
		}
		u.planCron(state, now)
		return nil
	})
}

type cronState struct {
	enabled bool
	last    time.Time
	upgrade time.Time // until when an upgrade says that it runs
}

func (u *update) cronState(ctx context.Context, db *sql.DB) (s cronState, err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return s, fmt.Errorf("ask for the state of cron: %w", err)
	}
	defer func() { _ = conn.Close() }()
	read, err := u.Site.ReadCronState(ctx, conn)
	if err != nil {
		return s, err
	}
	// No row is Moodle's default: on.
	off, err := count(ctx, db, "SELECT COUNT(*) FROM "+table(u.Site, "config")+" WHERE name = 'cron_enabled' AND value IN ('', '0')")
	return cronState{enabled: off == 0, last: read.CronLastStart, upgrade: read.UpgradeUntil}, err
}

func (u *update) planCron(s cronState, now time.Time) {
	u.cronOn = s.enabled
	switch {
	case !s.enabled:
		u.plan.note("cron is switched off now, and will be so again afterwards")
	case !s.last.IsZero() && now.Sub(s.last) > time.Hour:
		u.plan.note("cron has last run %s ago: look whether it works", now.Sub(s.last).Round(time.Minute))
	}
	if s.upgrade.After(now) {
		u.plan.problem("wait for it, or if it has died: php "+u.Site.CLI("cfg.php")+" --name=upgraderunning --unset", "an upgrade of the site says that it is at work until %s", s.upgrade.Local().Format(time.TimeOnly))
	} else if !s.upgrade.IsZero() {
		u.plan.problem("php "+u.Site.CLI("cfg.php")+" --name=upgraderunning --unset, when the site works", "an earlier upgrade of the site has died half way: the database may be of neither version")
	}
}

// Shares of a disk, in percent.
const keptFree = 10

// planRoom looks for room for a backup, and for the new code beside the old one.
func (u *update) planRoom(ctx context.Context) error {
	plan, err := backup.MakePlan(ctx, u.backupOptions(nil))
	if err != nil {
		u.plan.problem("", "the site cannot be backed up, and without a backup there is no way back: %v", err)
		return ctx.Err()
	}
	for _, component := range plan.Components {
		if component.Name == backup.Database {
			u.size = component.Size
		}
	}
	// The staged tree is there already, so its room is taken.
	if space, err := tree.SpaceAt(u.staging.dir); err == nil && space.Free < space.Total/100*keptFree {
		u.plan.problem("make room there", "less than %d %% of the disk of %s are free with the new code beside the old one", keptFree, u.staging.dir)
	}
	return nil
}

// What is taken where nothing was measured on this host. A dump is read at 40 MB/s and loaded at 9 MB/s of SQL.
const (
	usualDump    = 40 << 20 // bytes a second
	usualLoad    = 9 << 20
	usualUpgrade = 2 * time.Minute
	switching    = 20 * time.Second // purge, reload, checks
)

// planTimes reckons how long the site will be closed, and how long the way back would take.
func (u *update) planTimes(ctx context.Context) error {
	p := u.plan
	p.Closed, p.Rollback = u.closedTime(), u.rollbackTime()
	if limit := time.Duration(u.Update.MaxRollback); limit > 0 && p.Rollback > limit {
		p.word("set update.max_rollback, or say with --yes that it may take so long", "the way back would take about %s, and update.max_rollback is %s", p.Rollback.Round(time.Second), limit)
	}
	return ctx.Err()
}

// closedTime is the time for the dump, the upgrade and what is around them, as measured before.
func (u *update) closedTime() time.Duration {
	dump := u.measured("update", "dump")
	if dump == 0 {
		dump = max(u.measured("backup", "dump"), time.Duration(float64(u.size)/usualDump*float64(time.Second)))
	}
	upgrade := u.measured("update", "upgrade")
	if upgrade == 0 || u.plan.From.Branch != u.plan.To.Branch {
		upgrade = max(upgrade, usualUpgrade) // that of a plugin alone says nothing of another Moodle
	}
	return dump + upgrade + switching
}

func (u *update) rollbackTime() time.Duration {
	load := max(u.measured("drill", "load"), u.measured("restore", "stage database"))
	if load == 0 {
		load = time.Duration(float64(u.size) / usualLoad * float64(time.Second))
	}
	return load + switching
}

// measured is how long a step of a job of this site took the last time.
func (u *update) measured(name, step string) (took time.Duration) {
	if u.past == nil {
		// Unreadable ones are no reason not to update.
		u.past, _ = job.History(u.StateDir)
	}
	for _, record := range u.past {
		if record.Job != name || record.Site != u.Site.Name || !record.State.Good() {
			continue
		}
		for _, s := range record.Steps {
			if s.Name == step && s.Ended != nil {
				took = s.Ended.Sub(s.Started)
			}
		}
	}
	return took
}
