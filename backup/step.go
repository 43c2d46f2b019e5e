package backup

import (
	"context"
	"log/slog"
	"time"
)

// step is one part of a job, under the name that its record shows.
type step struct {
	name string
	do   func(context.Context) error
}

// runSteps takes steps one after the other. at is told after each.
func runSteps(ctx context.Context, run Run, at func(string), steps ...step) error {
	for _, s := range steps {
		if err := run.Step(ctx, s.name, s.do); err != nil {
			return err
		}
		at(s.name)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// fillIn puts in what callers may leave out.
func fillIn(clock *func() time.Time, logger **slog.Logger, at *func(string)) {
	if *clock == nil {
		*clock = time.Now
	}
	if *logger == nil {
		*logger = slog.New(slog.DiscardHandler)
	}
	if *at == nil {
		*at = func(string) {}
	}
}
