package restore

import (
	"context"
	"fmt"

	"github.com/moodle-exporter/moodle-exporter/backup/database"
)

// Discard lets the old site go that a restore has kept. The caller holds the site's lock.
func Discard(ctx context.Context, o Options, j *Journal, run Run) error {
	if err := o.setDefaults(); err != nil {
		return err
	}
	if j.Phase != Open {
		return fmt.Errorf("discard: %w", &UnfinishedError{Journal: j, Err: errUnfinished})
	}
	u := &undoing{Options: o, journal: j, run: run}
	if j.Database != nil {
		old := database.OldName(j.Database.DB, j.ID)
		staged := database.StagedName(j.Database.DB, j.ID)
		err := u.withServer(ctx, func(ctx context.Context, s *database.Server) error {
			if err := s.Discard(ctx, old, j.Database.Binlog); err != nil {
				return err
			}
			return s.Discard(ctx, staged, j.Database.Binlog)
		})
		if err != nil {
			return fmt.Errorf("let the old database go: %w", err)
		}
	}
	if err := discardAll(ctx, j.Scratch); err != nil {
		return fmt.Errorf("let the old files go: %w", err)
	}
	return j.remove()
}
