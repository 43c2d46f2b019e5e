package store

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // the protocol's checksum against damage on the way, not against an attacker
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"sync"

	"golang.org/x/sync/semaphore"
)

const (
	// bufferedBytes is what all uploads of one store together hold in memory. The collector of garbage lets
	// the program grow to twice of what lives.
	bufferedBytes = 24 << 20
	pageSize      = 64 << 10
)

// buffers lends memory for what is being sent, and makes those wait for whom there is none left. Memory comes
// in pages that are used again and again: buffers of many sizes would leave as much garbage as they hold.
type buffers struct {
	total int64 // pages
	left  *semaphore.Weighted

	mu   sync.Mutex
	free [][]byte
}

func newBuffers(total int64) *buffers {
	return &buffers{total: total / pageSize, left: semaphore.NewWeighted(total / pageSize)}
}

// get lends a buffer for up to size bytes. One that is larger than all there is to lend is lent alone.
func (b *buffers) get(ctx context.Context, size int64) (*buffer, error) {
	count := (size + pageSize - 1) / pageSize
	if err := b.left.Acquire(ctx, min(count, b.total)); err != nil {
		return nil, err
	}
	lent := &buffer{from: b, room: size, pages: make([][]byte, count)}
	b.mu.Lock()
	kept := max(0, len(b.free)-int(count))
	copy(lent.pages, b.free[kept:])
	b.free = b.free[:kept]
	b.mu.Unlock()
	for i := range lent.pages {
		if lent.pages[i] == nil {
			lent.pages[i] = make([]byte, pageSize)
		}
	}
	return lent, nil
}

// buffer is what goes with one request.
type buffer struct {
	from  *buffers
	pages [][]byte
	room  int64
	size  int64 // bytes that are filled

	mu       sync.Mutex
	released bool
}

// release gives the memory back, and takes it from who still reads: HTTP goes on sending for a moment where the
// answer came before the end of the request.
func (b *buffer) release() {
	b.mu.Lock()
	b.released = true
	b.mu.Unlock()
	b.from.mu.Lock()
	b.from.free = append(b.from.free, b.pages[:min(len(b.pages), int(b.from.total)-len(b.from.free))]...)
	b.from.mu.Unlock()
	b.from.left.Release(min(int64(len(b.pages)), b.from.total))
}

// fill reads until there is no room left. Content that ends before is io.EOF or io.ErrUnexpectedEOF.
func (b *buffer) fill(content io.Reader) error {
	for _, page := range b.pages {
		n, err := io.ReadFull(content, page[:min(pageSize, b.room-b.size)])
		b.size += int64(n)
		if err != nil {
			return err
		}
	}
	return nil
}

// filled are the filled parts of the pages.
func (b *buffer) filled() (parts [][]byte) {
	left := b.size
	for _, page := range b.pages {
		parts = append(parts, page[:min(pageSize, left)])
		left -= int64(len(parts[len(parts)-1]))
	}
	return parts
}

// content reads what is filled; each call from its beginning.
func (b *buffer) content() io.Reader {
	var readers []io.Reader
	for _, part := range b.filled() {
		readers = append(readers, bytes.NewReader(part))
	}
	return &bufferReader{of: b, from: io.MultiReader(readers...)}
}

type bufferReader struct {
	of   *buffer
	from io.Reader
}

func (r *bufferReader) Read(p []byte) (int, error) {
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	if r.of.released {
		return 0, fs.ErrClosed
	}
	return r.from.Read(p)
}

// sums are the digests that go with a request, against damage on the way.
type sums struct {
	sha256 [sha256.Size]byte // signed with the request
	md5    [md5.Size]byte
}

func (b *buffer) sums() (s sums) {
	sha, short := sha256.New(), md5.New() //nolint:gosec // see the import
	for _, part := range b.filled() {
		sha.Write(part)
		short.Write(part)
	}
	sha.Sum(s.sha256[:0])
	short.Sum(s.md5[:0])
	return s
}

func (s sums) sha256Hex() string { return hex.EncodeToString(s.sha256[:]) }
func (s sums) md5Base64() string { return base64.StdEncoding.EncodeToString(s.md5[:]) }
func (s sums) etag() string      { return hex.EncodeToString(s.md5[:]) }

// isEnd says whether err is how content ends.
func isEnd(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
