package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/backup/drill"
	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/internal/command"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

func drillCommand(app *kingpin.Application) (string, action) {
	command := app.Command("drill", "Rehearse a restore: bring a backup back into a database server and a directory of its own, prove it, and throw it away. Nothing of the live site is touched.")
	f := &restoreFlags{}
	command.Arg("id", "ID of a backup, or latest.").Default(backup.Latest).StringVar(&f.id)
	command.Flag("site", "Only this site.").StringVar(&f.site)
	command.Flag("identity", "File with the age key that opens an encrypted backup.").StringVar(&f.identity)
	f.from = fromFlag(command)
	return command.FullCommand(), func(ctx context.Context, e *environment) error {
		settings, err := e.config()
		if err != nil {
			return err
		}
		return e.drillAll(ctx, settings, f)
	}
}

// drillAll rehearses the restore of every site, or the named one.
func (e *environment) drillAll(ctx context.Context, settings *config.Config, f *restoreFlags) error {
	found := 0
	one := func(site string) error {
		reader, err := e.reader(ctx, settings, site, f)
		if errors.Is(err, backup.ErrNoSuchBackup) && f.site == "" {
			return nil // another site may have it
		}
		found++
		if err == nil {
			err = e.drill(ctx, settings, site, *f.from, reader)
		}
		if err != nil {
			return fmt.Errorf("drill of %s: %w", site, err)
		}
		return nil
	}
	var err error
	if *f.from == fromOffsite {
		err = e.eachSiteOffsite(ctx, settings, f.site, access{identity: f.identity}, func(site string, _ *backup.Offsite) error { return one(site) })
	} else {
		err = e.eachSiteWithBackups(settings, f.site, one)
	}
	if err == nil && found == 0 {
		return fmt.Errorf("%w: %s; a drill needs a complete one", backup.ErrNoSuchBackup, f.id)
	}
	return err
}

// drill rehearses one restore as a job, under a lock of its own: backups go on meanwhile, but for the removal of this one.
func (e *environment) drill(ctx context.Context, settings *config.Config, site, from string, reader *backup.Reader) error {
	scratch := drillScratch()
	lock, err := e.drillLock(ctx, site, scratch)
	if err != nil {
		return err
	}
	defer lock.Release()
	if from == fromLocal {
		pin, err := backup.PinBackup(store.NewDirectory(backup.SiteDir(settings.Backup.Dir, site)), reader.Manifest.ID)
		if err != nil {
			return err
		}
		defer pin.Close()
	}
	options := drill.Options{Reader: reader, Scratch: scratch, Clock: e.clock}
	if options.PHP, err = e.sitePHP(settings, site); err != nil {
		return err
	}
	for _, configured := range settings.Sites {
		if configured.Name == site {
			options.User = configured.User
		}
	}
	var result *drill.Result
	err = e.runJob(ctx, job.Spec{Job: "drill", Site: site, Held: lock}, func(ctx context.Context, run *job.Run) (err error) {
		makeWay(settings.Backup, run.Logger)
		options.Logger = run.Logger
		result, err = drill.Drill(ctx, options, run)
		return err
	})
	if err != nil || !terminal(e.stdout) {
		return err
	}
	_, err = fmt.Fprintf(e.stdout, "Backup %s of %s can be restored: %d tables with %d rows, %d content files (%s) and a site that starts, in %s.\n",
		reader.Manifest.ID, site, result.Tables, result.Rows, result.Blobs, backup.Bytes(result.Bytes), result.Took.Round(time.Second/10))
	for _, missed := range result.NotMade {
		_, told := fmt.Fprintf(e.stdout, "Not rehearsed: %v.\n", missed)
		err = errors.Join(err, told)
	}
	return err
}

// drillScratch is where drills work: TMPDIR, but not /tmp, which is often kept in memory.
func drillScratch() string {
	if dir := os.TempDir(); dir != "/tmp" {
		return dir
	}
	return "/var/tmp"
}

// drillLock takes the lock of the site's drills. The server of a drill that was killed may still hold it, and is ended.
func (e *environment) drillLock(ctx context.Context, site, scratch string) (*job.Lock, error) {
	path := filepath.Join(e.locks(), "drill", site+".lock")
	lock, err := job.Acquire(path)
	if !errors.Is(err, job.ErrLocked) {
		return lock, err
	}
	ended, failed := drill.EndLeft(ctx, procRoot, scratch, site)
	if failed != nil || !ended {
		return nil, errors.Join(err, failed)
	}
	// A process that ends gives back its memory, and with it the name by which it was found, before the files by which it
	// holds the lock.
	for deadline := time.Now().Add(lockGrace); ; {
		lock, err = job.Acquire(path)
		if !errors.Is(err, job.ErrLocked) || time.Now().After(deadline) {
			return lock, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(lockPoll):
		}
	}
}

// How long the lock of a server that has been ended is waited for.
const (
	lockGrace = 5 * time.Second
	lockPoll  = 20 * time.Millisecond
)

// sitePHP is the PHP that the configuration names for a site, else that of the host; empty where there is none.
func (e *environment) sitePHP(settings *config.Config, site string) (string, error) {
	for _, configured := range settings.Sites {
		if configured.Name == site && configured.PHP != "" {
			return command.Look(configured.PHP)
		}
	}
	found, err := command.Look("php")
	if err != nil {
		return "", nil //nolint:nilerr // the drill says what it could not rehearse
	}
	return found, nil
}
