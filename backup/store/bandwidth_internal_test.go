package store

import (
	"context"
	"testing"
	"time"
)

// However the bytes are cut up, the limit holds over a long run, and nothing is lost to rounding.
func TestBandwidthOverALongRun(t *testing.T) {
	now := time.Unix(0, 0)
	b := newBandwidth(1_000_003, func() time.Time { return now }, func(ctx context.Context, d time.Duration) error {
		now = now.Add(d)
		return ctx.Err()
	})
	var moved int64
	for i := range 300_000 {
		n := 1 + i*7919%(40<<10)
		if err := b.wait(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		moved += int64(n)
	}
	if rate := float64(moved) / now.Sub(time.Unix(0, 0)).Seconds(); rate < 999_000 || rate > 1_001_000 {
		t.Errorf("%.0f bytes a second over %v", rate, now.Sub(time.Unix(0, 0)))
	}
	// A pause earns one burst, no more.
	now = now.Add(time.Hour)
	at := now
	for range 100 {
		_ = b.wait(t.Context(), writeChunk)
	}
	if took := now.Sub(at); took < time.Second {
		t.Errorf("%v after a pause", took)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if b.wait(ended, 1) == nil || newBandwidth(0, time.Now, sleep).wait(t.Context(), 1<<40) != nil {
		t.Error("waits although its context has ended, or there is no limit")
	}
}
