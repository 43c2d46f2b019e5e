package store

import (
	"context"
	"math/bits"
	"sync"

	"golang.org/x/sync/semaphore"
)

const (
	// bufferedBytes is what all uploads of one store together hold in memory.
	bufferedBytes  = 40 << 20
	smallestBuffer = 64 << 10
)

// buffers lends memory for what is being sent, and makes those wait for whom there is none left.
type buffers struct {
	total int64
	left  *semaphore.Weighted
	pools [32]sync.Pool // of buffers of 2^i bytes
}

func newBuffers(total int64) *buffers {
	return &buffers{total: total, left: semaphore.NewWeighted(total)}
}

// get returns a buffer of size bytes and what gives it back. One that is larger than all there is to lend is
// lent alone.
func (b *buffers) get(ctx context.Context, size int) ([]byte, func(), error) {
	class := bits.Len(uint(max(size, smallestBuffer) - 1))
	weight := min(int64(1)<<class, b.total)
	if err := b.left.Acquire(ctx, weight); err != nil {
		return nil, nil, err
	}
	buffer, pooled := b.pools[class].Get().(*[]byte)
	if !pooled {
		made := make([]byte, 1<<class)
		buffer = &made
	}
	return (*buffer)[:size], func() {
		b.pools[class].Put(buffer)
		b.left.Release(weight)
	}, nil
}
