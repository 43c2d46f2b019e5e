package main

import (
	"context"
	"os"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

// runJob runs a job, with a bar for whoever sits at the terminal, and tells the exporter how it goes.
func (e *environment) runJob(ctx context.Context, spec job.Spec, work func(context.Context, *job.Run) error) error {
	runner, bar := e.runner(), newBar(e.stderr, spec.Job+" of "+spec.Site)
	runner.Watch = e.watch(context.WithoutCancel(ctx), bar)
	defer bar.end()
	return runner.Do(ctx, spec, work)
}

// onBackups runs a job on the backups of a site, under the lock that spec holds or else under that of the site and of its
// backups, and lets the exporter know. What is said afterwards is said only of a success.
func (e *environment) onBackups(ctx context.Context, settings *config.Config, spec job.Spec, work func(context.Context, *job.Run) (say func() error, err error)) error {
	var say func() error
	err := e.runJob(ctx, spec, func(ctx context.Context, run *job.Run) (err error) {
		makeWay(settings.Backup, run.Logger)
		if spec.Held == nil {
			if err := run.AddLock(backup.LockPath(settings.Backup.Dir, spec.Site)); err != nil {
				return err
			}
		}
		say, err = work(ctx, run)
		return err
	})
	e.refreshBackups(ctx, settings, spec.Site)
	if err != nil {
		return err
	}
	return say()
}

// lockBackups keeps the backups of this host as they are while a run needs them. Before the first one there is nothing that
// anybody could change.
func lockBackups(run *job.Run, settings config.Backup, site string) error {
	if _, err := os.Stat(backup.SiteDir(settings.Dir, site)); err != nil {
		return nil
	}
	return run.AddLock(backup.LockPath(settings.Dir, site))
}
