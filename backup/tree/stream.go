package tree

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
)

const copyBuffer = 512 << 10

// stream is an archive on its way in: counted, digested and bounded.
type stream struct {
	ctx      context.Context //nolint:containedctx // io.Reader has no room for one
	from     io.Reader
	limit    int64
	size     int64
	hash     hash.Hash
	progress func(int64)

	buffered *bufio.Reader
	ended    bool // somebody has been told so
}

func newStream(ctx context.Context, from io.Reader, limit int64, progress func(int64)) *stream {
	s := &stream{ctx: ctx, from: from, limit: limit, hash: sha256.New(), progress: progress}
	s.buffered = bufio.NewReaderSize(source{s}, copyBuffer)
	return s
}

// Read gives what the archive holds.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.buffered.Read(p)
	if n == 0 && errors.Is(err, io.EOF) {
		s.ended = true
	}
	return n, err
}

// source is the lower side of a stream.
type source struct{ *stream }

func (s source) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := s.from.Read(p)
	s.size += int64(n)
	if s.size > s.limit {
		return 0, fmt.Errorf("the archive is %w: it has more than the %d bytes that are recorded", ErrHostile, s.limit)
	}
	s.hash.Write(p[:n])
	if s.progress != nil && n > 0 {
		s.progress(int64(n))
	}
	return n, err
}

// drain reads what follows the end mark of the archive: nothing, or zeros to fill a block.
func (s *stream) drain() error {
	if s.ended {
		return ErrTruncated // the input ended before the archive did
	}
	for {
		part, err := s.buffered.Peek(1)
		if len(part) > 0 {
			part, _ = s.buffered.Peek(s.buffered.Buffered())
		}
		for _, b := range part {
			if b != 0 {
				return fmt.Errorf("the archive is %w: something follows its end", ErrHostile)
			}
		}
		_, _ = s.buffered.Discard(len(part))
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *stream) sum() (sum [32]byte) {
	s.hash.Sum(sum[:0])
	return sum
}
