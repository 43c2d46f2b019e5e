package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

func backupClause(app *kingpin.Application) *kingpin.CmdClause {
	if command := app.GetCommand("backup"); command != nil {
		return command
	}
	return app.Command("backup", "Make and look at backups. Without another word: make one of every site.")
}

func backupCreateCommand(app *kingpin.Application) (string, action) {
	command := backupClause(app).Command("create", "Back up every site of this host, or the named one.").Default()
	site := command.Flag("site", "Only this site.").String()
	only := command.Flag("only", "Only these components, separated by commas: "+strings.Join(backup.Components, ", ")+".").String()
	dry := command.Flag("dry-run", "Check everything and say what would be done, and do nothing.").Bool()
	return command.FullCommand(), func(ctx context.Context, e *environment) error {
		settings, err := e.config()
		if err != nil {
			return err
		}
		return e.backUpAll(ctx, settings, *site, components(*only), *dry)
	}
}

// backUpAll backs up every site of this host, or the named one.
func (e *environment) backUpAll(ctx context.Context, settings *config.Config, site string, only []string, dry bool) error {
	found, err := e.findSites(ctx, settings, site)
	if err != nil && site != "" {
		return err
	}
	var failures sites
	if err != nil {
		failures = append(failures, err)
	}
	for _, one := range found {
		err := e.backUp(ctx, settings, one, only, dry)
		if err != nil {
			failures = append(failures, fmt.Errorf("backup of %s: %w", one.Name, err))
		}
		if ctx.Err() != nil {
			break
		}
		if made := err == nil || errors.Is(err, job.ErrPartial); !made || dry {
			continue
		}
		if err := e.copyNew(ctx, settings, one.Name); err != nil {
			failures = append(failures, err)
		}
	}
	if len(failures) == 0 {
		return nil
	}
	return failures
}

func components(only string) []string {
	return strings.FieldsFunc(only, func(r rune) bool { return r == ',' || r == ' ' })
}

// backUp makes one backup of one site as a job.
func (e *environment) backUp(ctx context.Context, settings *config.Config, site *moodle.Site, only []string, dry bool) error {
	hostname, err := os.Hostname()
	if err != nil {
		return err
	}
	options := backup.Options{Site: site, Config: settings.Backup, Components: only, Version: version.Version,
		Host: hostname, Clock: e.clock, Logger: e.logger}
	if err := e.refuseUnfinishedRestore(site.Name); err != nil && dry {
		return err
	}
	if dry {
		plan, err := backup.MakePlan(ctx, options)
		if err != nil {
			return err
		}
		return plan.Text(e.stdout)
	}
	var manifest *backup.Manifest
	err = e.runJob(ctx, job.Spec{Job: "backup", Site: site.Name, WorthMore: true}, func(ctx context.Context, run *job.Run) (err error) {
		options.Logger = run.Logger
		if err := e.refuseUnfinishedRestore(site.Name); err != nil {
			return err
		}
		makeWay(settings.Backup, run.Logger)
		// A disk that is not there is a failed run like any other, for the record and its alert.
		if err := backup.MakeDir(&options); err != nil {
			return err
		}
		if err := run.AddLock(backup.LockPath(settings.Backup.Dir, site.Name)); err != nil {
			return err
		}
		manifest, err = backup.Create(ctx, options, run)
		return err
	})
	e.refreshBackups(ctx, settings, site.Name)
	if manifest != nil {
		err = errors.Join(err, e.sayBackup(manifest))
	}
	return err
}

// makeWay lets the site go first from here on.
func makeWay(settings config.Backup, log *slog.Logger) {
	priority := job.Priority{IO: settings.IONice}
	if settings.Nice != nil {
		priority.Nice = *settings.Nice
	}
	if err := priority.Take("/proc"); err != nil {
		log.Info("this job runs with its usual priority", "err", err) // a courtesy, not a condition
	}
}

// sayBackup is one line for a person; under cron nobody wants to read that all is well.
func (e *environment) sayBackup(manifest *backup.Manifest) error {
	if !terminal(e.stdout) {
		return nil
	}
	return writeManifest(e.stdout, manifest)
}

// eachSiteWithBackups calls look for every site of this host, or the named one, whether or not its code is still there:
// backups outlive their site.
func (e *environment) eachSiteWithBackups(settings *config.Config, name string, look func(site string) error) error {
	if name != "" {
		return look(name)
	}
	entries, err := os.ReadDir(settings.Backup.Dir)
	if errors.Is(err, os.ErrNotExist) {
		_, err = fmt.Fprintf(e.stdout, "There is no backup yet: %s does not exist.\n", settings.Backup.Dir)
		return err
	}
	if err != nil {
		return fmt.Errorf("look for backups: %w", err)
	}
	var failures sites
	for _, entry := range entries {
		if entry.IsDir() && config.ValidName.MatchString(entry.Name()) {
			if err := look(entry.Name()); err != nil {
				failures = append(failures, err)
			}
		}
	}
	if len(failures) == 0 {
		return nil
	}
	return failures
}
