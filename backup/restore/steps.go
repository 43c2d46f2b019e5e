package restore

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
)

// step is one part of a restore, under the name that its record shows.
type step struct {
	name string
	do   func(context.Context) error
}

// carryOut takes one line after the other, and what stands in one line at the same time: while the database server
// loads the dump, it has little to do with what the content files wait for.
func (r *restoration) carryOut(ctx context.Context) error {
	for _, line := range [][]step{
		{{"configuration", r.putHostConfig}},
		{{"stage code", r.stageCode}},
		{{"stage files", r.stageFiles}},
		{{"content files", r.addContent}, {"stage database", r.stageDatabase}},
		{{"try", r.tryStaged}},
		{{"close", r.closeSite}},
		{{"switch", r.exchange}},
		{{"settle", r.settle}},
		{{"check", r.check}},
		{{"open", r.open}},
		{{"visit", r.visit}},
		{{"keep", r.keep}},
	} {
		if err := r.together(ctx, line); err != nil {
			return err
		}
	}
	return nil
}

// together returns when all steps have ended; the first that fails ends the others.
func (r *restoration) together(ctx context.Context, line []step) error {
	if len(line) == 1 {
		return r.step(ctx, line[0].name, line[0].do)
	}
	group, inner := errgroup.WithContext(ctx)
	for _, s := range line {
		group.Go(func() error { return wrap(inner, s.name, r.run.Step(inner, s.name, s.do)) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, s := range line {
		r.At(s.name)
	}
	return ctx.Err()
}

func (r *restoration) step(ctx context.Context, name string, do func(context.Context) error) error {
	err := r.run.Step(ctx, name, do)
	if err == nil {
		r.At(name)
		err = ctx.Err()
	}
	return wrap(ctx, name, err)
}

// wrap names the step that failed. One that was broken off has not failed.
func wrap(ctx context.Context, name string, err error) error {
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return err
}
