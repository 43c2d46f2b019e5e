package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	// attempts of one request, with pauses of half a minute in all between them.
	attempts   = 7
	firstPause = 500 * time.Millisecond
	maxPause   = 15 * time.Second
)

// retry makes a request until it succeeds, fails for good or has failed too often. Its errors say what was
// done and what the storage answered.
func (s *S3) retry(ctx context.Context, doing string, request func(context.Context) error) error {
	for attempt := 1; ; attempt++ {
		err := request(ctx)
		if err == nil {
			return nil
		}
		if ended := ctx.Err(); ended != nil {
			return fmt.Errorf("%s: %w", doing, ended)
		}
		failure := s.explain(doing, err)
		if !failure.passing || attempt == attempts {
			return failure
		}
		if err := s.options.Sleep(ctx, pause(attempt)); err != nil {
			return fmt.Errorf("%s: %w", doing, errors.Join(err, failure))
		}
	}
}

// pause doubles from attempt to attempt. Half of it is left to chance, so that many streams that were cut
// together do not come back together.
func pause(attempt int) time.Duration {
	full := min(firstPause<<(attempt-1), maxPause)
	return full/2 + rand.N(full/2) //nolint:gosec // nothing to guess
}

// sleep waits, or ends with ctx.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
