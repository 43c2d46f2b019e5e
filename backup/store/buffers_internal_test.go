package store

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"
)

func TestBuffersLendWithinTheirTotal(t *testing.T) {
	b := newBuffers(1 << 20)
	first, err := b.get(t.Context(), 1<<20-pageSize+1)
	if err != nil {
		t.Fatal(err)
	}
	soon, end := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer end()
	if _, err := b.get(soon, 1); err == nil {
		t.Error("lent more than there is")
	}
	first.release()
	// One that is larger than all is lent alone, and its memory is not kept.
	large, err := b.get(t.Context(), 3<<20)
	if err != nil || len(large.pages) != 48 {
		t.Fatal(large, err)
	}
	large.release()
	if len(b.free) != 16 {
		t.Errorf("%d pages kept", len(b.free))
	}
	for _, size := range []int64{0, 1, pageSize, pageSize + 1, 5*pageSize - 1} {
		for _, length := range []int{0, 1, pageSize - 1, pageSize, 2 * pageSize, 5 * pageSize} {
			text := strings.Repeat("0123456789abcde", length/15+1)[:length]
			lent, err := b.get(t.Context(), size)
			if err != nil {
				t.Fatal(err)
			}
			err = lent.fill(strings.NewReader(text))
			got, _ := io.ReadAll(lent.content())
			if want := text[:min(int64(length), size)]; string(got) != want || lent.size != int64(len(want)) || isEnd(err) != (int64(length) < size) {
				t.Errorf("%d of %d bytes: %d, %v", length, size, len(got), err)
			}
			late := lent.content()
			lent.release()
			if n, err := late.Read(make([]byte, 1)); n > 0 || err == nil {
				t.Error("read from memory that is another's")
			}
		}
	}
	if len(b.free) != 16 || !b.left.TryAcquire(b.total) {
		t.Errorf("%d pages are free", len(b.free))
	}
}
