package main

import (
	"context"
	"fmt"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup/restore"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

// recoverRestore ends a restore that was broken off, before anything else is begun.
func (e *environment) recoverRestore(ctx context.Context, settings *config.Config, site string, f *restoreFlags) error {
	journal, err := restore.Unfinished(e.stateDir, site)
	if err != nil || journal == nil {
		return err
	}
	_, _ = fmt.Fprintf(e.stderr, "A restore of site %s from backup %s, begun %s, was broken off %s. It is ended first: finished if the restored site is open and works, else undone.\n",
		site, journal.Backup, journal.Started.Local().Format(time.DateTime), journal.Phase.Words())
	if f.dry {
		return nil
	}
	if err := e.confirmSite(ctx, f.yes, site, "the restore that was broken off is ended"); err != nil {
		return err
	}
	options, err := e.restoreOptions(ctx, settings, site)
	if err != nil {
		return err
	}
	finished := false
	err = e.restoreJob(ctx, settings, site, f, func(ctx context.Context, run *job.Run) (err error) {
		options.Logger = run.Logger
		finished, err = restore.Recover(ctx, options, journal, run)
		return err
	})
	if err != nil {
		return err
	}
	end := "was undone: the site is as it was before it"
	switch {
	case finished:
		end = "was finished: the restored site is open"
	case journal.Phase == restore.Undone:
		end += ". What was written into the restored site is kept until `moodle-exporter restore --discard --site=" + site + "`"
	}
	_, err = fmt.Fprintf(e.stdout, "The restore that was broken off %s.\n", end)
	return err
}

// discard lets go what earlier restores of the site have kept.
func (e *environment) discard(ctx context.Context, settings *config.Config, site string, f *restoreFlags) error {
	journals, err := restore.Journals(e.stateDir, site)
	if err != nil {
		return err
	}
	if len(journals) == 0 {
		_, err := fmt.Fprintf(e.stdout, "No restore of site %s has kept anything.\n", site)
		return err
	}
	if err := e.confirmSite(ctx, f.yes || f.dry, site, "the site as it was before "+journals[len(journals)-1].Started.Local().Format(time.DateTime)+" is deleted for good"); err != nil {
		return err
	}
	options, err := e.restoreOptions(ctx, settings, site)
	if err != nil {
		return err
	}
	if f.dry {
		for _, journal := range journals {
			_, _ = fmt.Fprintf(e.stdout, "Restore %s has kept the site as it was.\n", journal.ID)
		}
		return nil
	}
	return e.restoreJob(ctx, settings, site, f, func(ctx context.Context, run *job.Run) error {
		options.Logger = run.Logger
		for _, journal := range journals {
			if err := run.Step(ctx, "discard", func(ctx context.Context) error { return restore.Discard(ctx, options, journal, run) }); err != nil {
				return err
			}
		}
		return nil
	})
}
