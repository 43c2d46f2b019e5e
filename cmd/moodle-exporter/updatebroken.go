package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
	"github.com/moodle-exporter/moodle-exporter/internal/update"
)

// endBroken ends updates whose process was killed, or whose host went down: the site may be closed, and nobody there to
// open it. One that ended with an error is for a person, who mends what it names before it is tried again.
func (e *environment) endBroken(ctx context.Context, settings *config.Config) error {
	records, _ := job.Read(e.stateDir) // one that cannot be read is told of by status
	var failures sites
	for _, record := range records {
		if record.Job != "update" || record.State != job.Running || record.Alive(procRoot) {
			continue
		}
		err := e.recoverUpdate(ctx, settings, record.Site, &updateFlags{site: record.Site})
		// What the killed one has started may be at work yet; the next call looks again.
		if err != nil && !errors.Is(err, job.ErrLocked) {
			failures = append(failures, fmt.Errorf("update of %s: %w", record.Site, err))
		}
	}
	if len(failures) == 0 {
		return nil
	}
	return failures
}

// recoverUpdate ends an update that was broken off, before anything else is begun. A site that was left half way is ended
// without asking where nobody sits at a terminal: nothing is gained by leaving it closed.
func (e *environment) recoverUpdate(ctx context.Context, settings *config.Config, name string, f *updateFlags) error {
	journal, err := update.Unfinished(e.stateDir, name)
	if err != nil || journal == nil {
		return err
	}
	_, _ = fmt.Fprintf(e.stderr, "An update of site %s, begun %s, was broken off %s. It is ended first: finished if the updated site is open and works, else undone.\n",
		name, journal.Started.Local().Format(time.DateTime), journal.Phase.Words())
	if f.dry || f.check {
		return exitStatus(exitRefused)
	}
	options, err := e.updateOptions(settings, name, journal.Code, f)
	if err != nil {
		return err
	}
	finished := false
	err = e.updateJob(ctx, name, settings.Backup, func(ctx context.Context, run *job.Run) (err error) {
		options.Logger = run.Logger
		finished, err = update.Recover(ctx, options, journal, run)
		return err
	})
	if err != nil {
		return err
	}
	end := "was undone: the site is as it was before it"
	if finished {
		end = "was finished: the updated site is open"
	}
	_, err = fmt.Fprintf(e.stdout, "The update that was broken off %s.\n", end)
	return err
}
