package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

// verifyMaxAge is two of the shipped timer's weeks and a day: one verification may be missed.
const verifyMaxAge = 15 * 24 * time.Hour

func backupVerifyCommand(app *kingpin.Application) (string, action) {
	command := backupClause(app).Command("verify", "Prove that the backups are what they were when they were written.")
	id := command.Arg("id", "ID of a backup, latest, or all.").Default("all").String()
	site := command.Flag("site", "Only backups of this site.").String()
	readData := command.Flag("read-data", fmt.Sprintf("Read all that is stored. Without it a run reads one of %d shares, the next run the next one; names and sizes are compared for all.", backup.Shares)).Bool()
	from := fromFlag(command)
	identity := command.Flag("identity", "File with the private age key that opens encrypted copies. Without it they are proven by the digests that were written down when they were sent.").String()
	return command.FullCommand(), func(ctx context.Context, e *environment) error {
		settings, err := e.config()
		if err != nil {
			return err
		}
		if *from == fromOffsite {
			return e.verifyCopies(ctx, settings, *site, *id, *readData, access{identity: *identity})
		}
		return e.verify(ctx, settings, *site, *id, *readData)
	}
}

// verify proves the backups that are meant by id, of every site or of the named one.
func (e *environment) verify(ctx context.Context, settings *config.Config, site, id string, readData bool) error {
	return e.eachSiteWithBackup(ctx, settings, site, id, func(site, id string) error {
		options := backup.VerifyOptions{Dir: settings.Backup.Dir, Site: site, ID: id, ReadData: readData, Clock: e.clock}
		return e.onBackups(ctx, settings, job.Spec{Job: "verify", Site: site}, func(ctx context.Context, run *job.Run) (func() error, error) {
			options.Logger = run.Logger
			report, err := backup.Verify(ctx, options, run)
			return func() error { return e.sayIntact(site, report) }, err
		})
	})
}

// sayIntact is one line for a person; under cron nobody wants to read that all is well.
func (e *environment) sayIntact(site string, r *backup.Report) error {
	if !terminal(e.stdout) {
		return nil
	}
	share := "all that is stored was read"
	if r.Share >= 0 {
		share = fmt.Sprintf("share %d of %d was read", r.Share+1, backup.Shares)
	}
	_, err := fmt.Fprintf(e.stdout, "The %d backups of %s are intact: %s (%d files, %s); the pool holds %d content files.\n",
		r.Backups, site, share, r.ReadFiles, backup.Bytes(r.ReadBytes), r.Blobs)
	return err
}

// eachSiteWithBackup calls look for every site, or the named one, that has the backup which is meant by id:
// an ID, latest or all. Where all are meant and there is none, there is nothing to do.
func (e *environment) eachSiteWithBackup(ctx context.Context, settings *config.Config, site, id string, look func(site, id string) error) error {
	found := false
	err := e.eachSiteWithBackups(settings, site, func(name string) error {
		meant, err := backup.FindToVerify(ctx, settings.Backup.Dir, name, id)
		if errors.Is(err, backup.ErrNoSuchBackup) && site == "" {
			return nil // another site may have it
		}
		if err != nil {
			return err
		}
		found = true
		if err := look(name, meant); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
	if err == nil && !found && id != "all" {
		return fmt.Errorf("%w: %s", backup.ErrNoSuchBackup, id)
	}
	return err
}

// refreshBackups lets the exporter see at once what it would see in five minutes anyway.
func (e *environment) refreshBackups(ctx context.Context, settings *config.Config, site string) {
	if err := e.probe(settings).RefreshBackups(context.WithoutCancel(ctx), site); err != nil {
		e.logger.Warn("the exporter sees this only at its next look", "err", err)
	}
}
