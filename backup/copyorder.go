package backup

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// ahead is how many results may wait for the one before them: a large file holds nothing up behind it.
const ahead = 4096

// ordered hands the results of work that many goroutines do to one taker, in the order in which it was begun.
type ordered[T any] struct {
	group *errgroup.Group
	ctx   context.Context //nolint:containedctx // of the goroutines, which end with it
	slots chan slot[T]
	turns chan struct{}
}

type slot[T any] struct {
	value T
	wait  chan T // nil for a value that is there already
}

// inTurn runs feed, which begins work with now and later, and gives the results to take. The first error
// ends all of it.
func inTurn[T any](ctx context.Context, workers int, feed func(context.Context, *ordered[T]) error, take func(T) error) error {
	group, inner := errgroup.WithContext(ctx)
	o := &ordered[T]{group: group, ctx: inner, slots: make(chan slot[T], ahead), turns: make(chan struct{}, workers)}
	group.Go(func() error {
		defer close(o.slots)
		return feed(inner, o)
	})
	group.Go(func() error {
		for s := range o.slots {
			if s.wait != nil {
				select {
				case s.value = <-s.wait:
				case <-inner.Done():
					return inner.Err()
				}
			}
			if err := take(s.value); err != nil {
				return err
			}
		}
		return nil
	})
	return group.Wait()
}

// now is a result that needs no work.
func (o *ordered[T]) now(value T) error { return o.put(slot[T]{value: value}) }

// later does work on another goroutine, when it is its turn.
func (o *ordered[T]) later(work func(context.Context) (T, error)) error {
	select {
	case o.turns <- struct{}{}:
	case <-o.ctx.Done():
		return o.ctx.Err()
	}
	wait := make(chan T, 1)
	if err := o.put(slot[T]{wait: wait}); err != nil {
		return err
	}
	o.group.Go(func() error {
		defer func() { <-o.turns }()
		value, err := work(o.ctx)
		if err == nil {
			wait <- value
		}
		return err
	})
	return nil
}

func (o *ordered[T]) put(s slot[T]) error {
	select {
	case o.slots <- s:
		return nil
	case <-o.ctx.Done():
		return o.ctx.Err()
	}
}
