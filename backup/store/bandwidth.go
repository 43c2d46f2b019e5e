package store

import (
	"context"
	"time"

	"golang.org/x/time/rate"
)

// bandwidth is what all connections of a store may move in a second, first come, first served.
type bandwidth struct {
	limiter *rate.Limiter // nil without a limit
	now     func() time.Time
	sleep   func(context.Context, time.Duration) error
}

func newBandwidth(bytesPerSecond int64, now func() time.Time, sleep func(context.Context, time.Duration) error) *bandwidth {
	b := &bandwidth{now: now, sleep: sleep}
	if bytesPerSecond > 0 {
		// A burst of more than one chunk would only show as jerks.
		b.limiter = rate.NewLimiter(rate.Limit(bytesPerSecond), writeChunk)
	}
	return b
}

// wait returns when n bytes may move, or ctx ends.
func (b *bandwidth) wait(ctx context.Context, n int) error {
	if b.limiter == nil {
		return nil
	}
	var delay time.Duration
	for now := b.now(); n > 0; n -= writeChunk {
		delay = max(delay, b.limiter.ReserveN(now, min(n, writeChunk)).DelayFrom(now))
	}
	if delay == 0 {
		return ctx.Err()
	}
	return b.sleep(ctx, delay)
}
