package update

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/backup/tree"
	"github.com/moodle-exporter/moodle-exporter/internal/control"
)

func (u *update) backupOptions(components []string) backup.Options {
	return backup.Options{Site: u.Site, Config: u.Backup, Components: components, Version: u.Version, Host: u.Host, Clock: u.Clock, Logger: u.Logger}
}

// within runs parts of another job as steps of this one.
type within struct {
	Run
	name string
}

func (w within) Step(ctx context.Context, name string, part func(context.Context) error) error {
	return w.Run.Step(ctx, w.name+": "+name, part)
}

// backUp makes a complete backup while the site is open, so that the dump that follows is all that there is left to do.
func (u *update) backUp(ctx context.Context) error {
	_, err := backup.Create(ctx, u.backupOptions(nil), within{u.run, "backup"})
	return u.lessThanWhole(err)
}

// lessThanWhole takes a backup that misses files of the site for what it is: good enough for the way back.
func (u *update) lessThanWhole(err error) error {
	var missing *backup.MissingError
	var incomplete *backup.IncompleteError
	if errors.As(err, &missing) || errors.As(err, &incomplete) {
		u.result.Notes = append(u.result.Notes, "the backup before the update: "+err.Error())
		return nil
	}
	return err
}

// drainCron stops cron: one that runs already would work on through the upgrade.
func (u *update) drainCron(ctx context.Context) error {
	u.journal.CronOn = u.cronOn
	if err := u.journal.enter(Draining); err != nil {
		return err
	}
	return u.cli("").CronDisableWait(ctx, int(u.CronWait.Seconds()))
}

// closeSite lets nobody in any more, and waits for those who are.
func (u *update) closeSite(ctx context.Context) (err error) {
	if err := u.journal.enter(Closed); err != nil {
		return err
	}
	since := time.Now()
	u.closed = u.Clock()
	until := u.closed.Add(u.plan.Closed + u.plan.Rollback)
	u.run.Announce(until)
	if u.before, err = control.EnterMaintenance(u.Site, u.closed.Add(u.plan.Closed)); err != nil {
		return err
	}
	// What is written after the dump would be lost on the way back.
	return u.quiet(ctx, u.Site, since)
}

// dump makes the backup that the way back begins with, and reads it to its end.
func (u *update) dump(ctx context.Context) error {
	manifest, err := backup.Create(ctx, u.backupOptions([]string{backup.Database, backup.Files}), within{u.run, "dump"})
	if err = u.lessThanWhole(err); err != nil {
		return err
	}
	u.journal.Dump = manifest.ID
	if err := u.journal.save(); err != nil {
		return err
	}
	file, err := backup.NewReader(store.NewDirectory(backup.SiteDir(u.Backup.Dir, u.Site.Name)), manifest).Open(ctx, backup.FileOf(backup.Database))
	if err != nil {
		return err
	}
	defer file.Close()
	if err := copyWith(ctx, nowhere{}, file); err != nil {
		return fmt.Errorf("read the dump back: %w", err)
	}
	return u.proveWayBack(ctx, manifest)
}

type nowhere struct{}

func (nowhere) Write(p []byte) (int, error) { return len(p), nil }

// exchange puts the new code in its place. What it does is in the journal, and it can be undone half way.
func (u *update) exchange(ctx context.Context) (err error) {
	u.switched = u.Clock()
	if p, same := u.source.(*present); same && !p.copy {
		return u.renew(ctx, u.after)
	}
	s := u.staging
	if err := s.shut(); err != nil {
		return err
	}
	if u.journal.CodeMoves, _, err = tree.PlanDir(u.Site.Link, s.path(newTree), s.path(oldTree)); err != nil {
		return err
	}
	if err := u.journal.save(); err != nil {
		return err
	}
	if err := tree.Do(ctx, u.journal.CodeMoves, func(int) { u.At("code move") }); err != nil {
		return fmt.Errorf("put the new code in its place: %w", err)
	}
	return u.renew(ctx, u.after)
}

// upgrade lets Moodle bring the database to the new code, once.
func (u *update) upgrade(ctx context.Context) error {
	if err := u.journal.enter(Upgrading); err != nil {
		return err
	}
	u.At("upgrade begins")
	cli := control.CLI{Site: u.after, Run: u.run, Log: &logged{logger: u.Logger}}
	return cli.Upgrade(ctx, control.UpgradeOptions{})
}

func (u *update) purge(ctx context.Context) error {
	if err := (control.CLI{Site: u.after, Run: u.run}).PurgeCaches(ctx); err != nil {
		return err
	}
	return u.renew(ctx, u.after)
}

// check tries the updated site while visitors still see the maintenance page.
func (u *update) check(ctx context.Context) error {
	cli := control.CLI{Site: u.after, Run: u.run}
	missing, err := cli.ShowMissing(ctx)
	if err != nil {
		return err
	}
	// What Moodle itself has given up is nobody's loss.
	if lost := without(without(missing, u.missing), u.fresh.Dropped); len(lost) > 0 {
		return fmt.Errorf("the code of plugins is gone that was there before: %s", some(lost))
	}
	schema, err := cli.CheckSchema(ctx)
	if err != nil {
		return err
	}
	if lacking := without(lacks(schema), lacks(u.schema)); len(lacking) > 0 {
		return fmt.Errorf("the new code expects what the tables do not have after the upgrade: %s", some(lacking))
	}
	// What forks have added to Moodle's own tables stays in them, and an old site is in places not what a new one would be.
	if others := without(tablesIn(schema), tablesIn(u.schema)); len(others) > 0 {
		note := "tables differ from those of a new site, and nothing that the code needs is missing: " + some(others) + "; admin/cli/check_database_schema.php says how"
		u.result.Notes = append(u.result.Notes, note)
		u.Logger.Warn(note)
	}
	_, err = control.CheckPool(ctx, u.after, control.PoolCheck{Pools: u.pools(u.after), CodeSince: u.switched})
	return u.unlessNotMade(err)
}

// lacks are the differences without which code does not work: tables and columns that are not there (check_database_schema
// in lib/ddl/database_manager.php).
func lacks(differences []string) (lacking []string) {
	for _, difference := range differences {
		if strings.HasSuffix(difference, " is missing") {
			lacking = append(lacking, difference)
		}
	}
	return lacking
}

// tablesIn are the tables that differences are about, each once.
func tablesIn(differences []string) (tables []string) {
	for _, difference := range differences {
		if name, _, _ := strings.Cut(difference, ":"); !oneOf(name, tables) {
			tables = append(tables, name)
		}
	}
	return tables
}

func without(all, known []string) (left []string) {
	for _, one := range all {
		if !oneOf(one, known) {
			left = append(left, one)
		}
	}
	return left
}

// unlessNotMade takes a check that could not be made as what it is: nothing is undone for it.
func (u *update) unlessNotMade(err error) error {
	if errors.Is(err, control.ErrNotChecked) {
		u.result.NotMade = append(u.result.NotMade, err)
		u.Logger.Warn("a check of the updated site could not be made", "err", err)
		return nil
	}
	return err
}

// open lets the users in, or leaves the site closed if somebody had closed it before.
func (u *update) open(context.Context) error {
	u.journal.Opened = u.Clock().UTC()
	if err := u.journal.enter(Visiting); err != nil {
		return err
	}
	if err := control.LeaveMaintenance(u.after, u.before); err != nil {
		return err
	}
	u.result.Closed = u.Clock().Sub(u.closed)
	u.run.Announce(time.Time{})
	return nil
}

// visit looks at the login page as a visitor does.
func (u *update) visit(ctx context.Context) error {
	if u.before == control.WasClosed {
		return u.unlessNotMade(&control.NotCheckedError{Check: "the visit of the login page", Err: errors.New("the site was in maintenance mode before the update, and is so again")})
	}
	_, err := control.CheckLogin(ctx, u.after, u.Login)
	return u.unlessNotMade(err)
}

// finish ends the update: from here on nothing is undone. The old code goes; the backup has it.
func (u *update) finish(ctx context.Context) error {
	if err := u.journal.enter(Open); err != nil {
		return err
	}
	u.close()
	return complete(ctx, &u.Options, u.after, u.journal, u.run)
}
