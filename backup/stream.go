package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"path"
	"runtime"

	"github.com/klauspost/compress/zstd"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
)

// windowSize bounds the memory of compression and of everyone who reads the file back; zstd's own level
// 3 uses no more.
const windowSize = 2 << 20

// listWindow is that of lists of content files. Sums do not repeat, so a larger one gains nothing, and many
// lists are read at a time: a reader of one takes 0.2 MB instead of 3.4.
const listWindow = 32 << 10

// compression says how files are compressed; the zero value is how everybody does.
type compression struct{ level, threads, window int }

func compressionOf(z config.Zstd) compression { return compression{level: z.Level, threads: z.Threads} }

// forLists is how lists of content files are compressed.
func (c compression) forLists() compression {
	c.window = listWindow
	return c
}

func (c compression) options() []zstd.EOption {
	level, threads := zstd.SpeedDefault, c.threads
	if c.level > 0 {
		level = zstd.EncoderLevelFromZstd(c.level)
	}
	if threads == 0 {
		threads = min(4, runtime.GOMAXPROCS(0))
	}
	window := c.window
	if window == 0 {
		window = windowSize
	}
	return []zstd.EOption{zstd.WithEncoderLevel(level), zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(threads)}
}

// save stores what produce writes, compressed, as a file of the backup in the making, and measures it on
// both sides of the compression. An error of produce reaches the store as the end of its input, so that
// half a file is never kept.
func (c compression) save(ctx context.Context, s store.Store, name, component string, produce func(io.Writer) error) (File, error) {
	from, to := io.Pipe()
	content, stored := newMeter(), newMeter()
	done := make(chan error, 1)
	go func() {
		err := c.compress(io.MultiWriter(to, stored), func(w io.Writer) error {
			return produce(io.MultiWriter(w, content))
		})
		_ = to.CloseWithError(err) // nil is io.EOF
		done <- err
	}()
	_, err := s.Save(ctx, path.Join(stagingName, name), store.Unknown, from)
	_ = from.CloseWithError(err) // a store that gave up ends the producer
	if produced := <-done; err == nil {
		err = produced
	}
	if err != nil {
		return File{}, err
	}
	return File{
		Name: name, Component: component, Size: stored.size, SHA256: stored.sum(),
		ContentSize: content.size, ContentSHA256: content.sum(),
	}, nil
}

func (c compression) compress(to io.Writer, produce func(io.Writer) error) error {
	encoder, err := zstd.NewWriter(to, c.options()...)
	if err != nil {
		return err
	}
	if err := produce(encoder); err != nil {
		// Close would make the torn stream a whole one.
		encoder.Reset(io.Discard)
		return err
	}
	if err := encoder.Close(); err != nil {
		return fmt.Errorf("compress: %w", err)
	}
	return nil
}

// meter counts and digests what is written to it.
type meter struct {
	size int64
	hash hash.Hash
}

func newMeter() *meter { return &meter{hash: sha256.New()} }

func (m *meter) Write(p []byte) (int, error) {
	m.size += int64(len(p))
	return m.hash.Write(p)
}

func (m *meter) sum() string { return hex.EncodeToString(m.hash.Sum(nil)) }
