package moodle

import (
	"context"
	"fmt"
	"time"
)

// Patience calls read, and stops waiting for it after limit: a hung disk or share keeps whoever touches it
// for ever, in a call that nothing can break off. Its goroutine stays behind until the disk answers.
func Patience[T any](ctx context.Context, limit time.Duration, what string, read func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	type answer struct {
		value T
		err   error
	}
	answered := make(chan answer, 1)
	go func() {
		value, err := read(ctx)
		answered <- answer{value, err}
	}()
	// A little longer than the context, so that a read that obeys it can say in its own words what it waited for.
	late := time.NewTimer(limit + limit/10)
	defer late.Stop()
	select {
	case got := <-answered:
		return got.value, got.err
	case <-late.C:
		var none T
		return none, fmt.Errorf("%s does not answer within %v; is its disk or network share hung? %w", what, limit, context.DeadlineExceeded)
	}
}
