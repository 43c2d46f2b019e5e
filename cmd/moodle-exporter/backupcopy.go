package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/alecthomas/kingpin/v2"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

func backupCopyCommand(app *kingpin.Application) (string, action) {
	command := backupClause(app).Command("copy", "Copy to the off-site bucket what it lacks of the backups, and mend what is damaged there. A backup does so itself when it is made.")
	site := command.Flag("site", "Only backups of this site.").String()
	return command.FullCommand(), func(ctx context.Context, e *environment) error {
		settings, err := e.config()
		if err != nil {
			return err
		}
		if settings.Backup.Offsite == nil {
			return noOffsite()
		}
		return e.eachSiteWithBackups(settings, *site, func(site string) error {
			if err := e.copySite(ctx, settings, site); err != nil {
				return fmt.Errorf("%s: %w", site, err)
			}
			return nil
		})
	}
}

// verifyCopies proves the copies that are meant by id, of every site in the bucket or of the named one.
func (e *environment) verifyCopies(ctx context.Context, settings *config.Config, site, id string, readData bool, with access) error {
	found := false
	err := e.eachSiteOffsite(ctx, settings, site, with, func(name string, place *backup.Offsite) error {
		meant, err := backup.FindOffsite(ctx, settings.Backup.Dir, name, id, place)
		if is(backup.ErrNoSuchBackup)(err) && site == "" {
			return nil // another site may have it
		}
		if err != nil {
			return err
		}
		found = true
		// Its lock is its own: reading all that there is takes days, and no copy has to wait for it.
		lock, err := job.Acquire(filepath.Join(e.locks(), "offsite-verify", name+".lock"))
		if err != nil {
			return err
		}
		defer lock.Release()
		return e.onBackups(ctx, settings, job.Spec{Job: "offsite-verify", Site: name, Held: lock}, func(ctx context.Context, run *job.Run) (func() error, error) {
			report, err := backup.VerifyOffsite(ctx, backup.OffsiteVerifyOptions{
				Dir: settings.Backup.Dir, Site: name, From: place, ID: meant, ReadData: readData, Clock: e.clock, Logger: run.Logger,
			}, run)
			return func() error { return e.sayCopiesIntact(name, report, readData) }, err
		})
	})
	if err == nil && !found && id != "all" {
		return fmt.Errorf("%w: there is no copy of %s", backup.ErrNoSuchBackup, id)
	}
	return err
}

// sayCopiesIntact is one line for a person.
func (e *environment) sayCopiesIntact(site string, r *backup.Report, readData bool) error {
	if !terminal(e.stdout) {
		return nil
	}
	read := "names and sizes were compared"
	if readData {
		read = fmt.Sprintf("all objects were read (%d, %s)", r.ReadFiles, backup.Bytes(r.ReadBytes))
	}
	_, err := fmt.Fprintf(e.stdout, "The copies of %d backups of %s are intact: %s; they share %d content files.\n", r.Backups, site, read, r.Blobs)
	return err
}

// pruneCopies removes the copies that no rule keeps, of every site that has backups on this host or of the named one.
func (e *environment) pruneCopies(ctx context.Context, settings *config.Config, site string, dry bool, with access) error {
	if settings.Backup.Offsite == nil {
		return noOffsite()
	}
	return e.eachSiteWithBackups(settings, site, func(site string) error {
		place, err := e.offsite(settings, site, with)
		if err != nil {
			return err
		}
		options := backup.OffsitePruneOptions{Dir: settings.Backup.Dir, Site: site, From: place, Keep: settings.Backup.Keep, DryRun: dry, Clock: e.clock, Logger: e.logger}
		if dry {
			pruning, err := backup.PruneOffsite(ctx, options, nil)
			if err != nil {
				return err
			}
			return sayPruning(e.stdout, site, pruning, "would be removed")
		}
		lock, err := e.copyLock(settings, site)
		if err != nil {
			return err
		}
		defer lock.Release()
		return e.onBackups(ctx, settings, job.Spec{Job: "offsite-prune", Site: site, Held: lock}, func(ctx context.Context, run *job.Run) (func() error, error) {
			options.Logger = run.Logger
			pruning, err := backup.PruneOffsite(ctx, options, run)
			return func() error { return sayPruning(e.stdout, site, pruning, "removed") }, err
		})
	})
}
