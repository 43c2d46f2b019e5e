package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
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
