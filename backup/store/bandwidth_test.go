package store_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

// wall is a clock that only sleeping moves.
type wall struct {
	mu  sync.Mutex
	now time.Time
}

func (w *wall) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *wall) Sleep(ctx context.Context, d time.Duration) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
	return ctx.Err()
}

// Every byte on the wire waits for its turn, up and down, in every stream.
func TestBandwidthHoldsBackEveryByte(t *testing.T) {
	t.Parallel()
	clock := &wall{now: time.Now()}
	start := clock.Now()
	options := optionsFor(minioServer(t))
	options.Bandwidth, options.Now, options.Sleep = 2_000, clock.Now, clock.Sleep
	s := newS3(t, options)
	const streams, size = 4, 2 * mebi
	var group sync.WaitGroup
	for i := range streams {
		group.Go(func() {
			name := fmt.Sprint(i)
			if _, err := s.Save(t.Context(), name, size, pattern(size)); err != nil {
				t.Error(err)
			}
			wantPattern(t, s, name, size)
		})
	}
	group.Wait()
	took := clock.Now().Sub(start)
	least := 2 * streams * size * time.Second / 2_000
	// The bytes of headers and answers count as well.
	if took < least-time.Minute {
		t.Errorf("%v for what takes %v", took, least)
	}
}
