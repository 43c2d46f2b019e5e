package restore

import (
	"context"
	"fmt"
)

// Discard lets the old site go that a restore has kept. The caller holds the site's lock.
func Discard(ctx context.Context, o Options, j *Journal, run Run) error {
	if err := o.setDefaults(); err != nil {
		return err
	}
	if !j.Phase.Ended() {
		return fmt.Errorf("discard: %w", &UnfinishedError{Journal: j, Err: errUnfinished})
	}
	u := &undoing{Options: o, journal: j, run: run}
	if j.Database != nil {
		if err := u.withServer(ctx, u.discardSchemas); err != nil {
			return fmt.Errorf("let the old database go: %w", err)
		}
	}
	if err := discardAll(ctx, j.Scratch); err != nil {
		return fmt.Errorf("let the old files go: %w", err)
	}
	return j.remove()
}
