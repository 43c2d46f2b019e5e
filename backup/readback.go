package backup

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"
)

// readBack reads a file of a backup to its last byte, as stored and as content, and says what is wrong
// with it. An error is not the file's fault.
func readBack(ctx context.Context, s opener, name string, want File, add func(int64)) (what string, err error) {
	file, err := s.Open(ctx, name)
	if err != nil {
		return "unreadable: " + err.Error(), nil
	}
	defer file.Close()
	defer leaveCache(file)
	raw, content := newMeter(), newMeter()
	from := io.TeeReader(&watchedReader{ctx: ctx, from: file, add: add}, raw)
	unpacked := unpack(from, want.Name, content)
	_, rest := io.Copy(io.Discard, from)
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case rest != nil:
		return "unreadable: " + rest.Error(), nil
	case raw.size != want.Size:
		return sizeFault(raw.size, want.Size), nil
	case raw.sum() != want.SHA256:
		return "flipped: its SHA-256 is not the one it was written with", nil
	case unpacked != nil:
		return "unreadable: " + unpacked.Error(), nil
	case content.size != want.ContentSize || content.sum() != want.ContentSHA256:
		return "flipped: its content is not the one it was written with", nil
	}
	return "", nil
}

// leaveCache gives the memory back that the kernel keeps a file in after it was read: a verification reads
// more than the site has memory, and the site's own files shall stay there.
func leaveCache(file any) {
	if open, ok := file.(interface{ Fd() uintptr }); ok {
		_ = unix.Fadvise(int(open.Fd()), 0, 0, unix.FADV_DONTNEED) // a courtesy
	}
}

// unpack reads content through all its layers.
func unpack(from io.Reader, name string, content io.Writer) error {
	inner, compressed := strings.CutSuffix(name, ".zst")
	if compressed {
		decoder, err := newDecoder(from)
		if err != nil {
			return err
		}
		defer decoder.Close()
		from = decoder
	}
	from = io.TeeReader(from, content)
	var err error
	switch {
	case strings.HasSuffix(inner, ".tar"):
		err = readTar(from)
	case name == listName:
		err = readList(from)
	}
	_, rest := io.Copy(io.Discard, from)
	return errors.Join(err, rest)
}

func readTar(from io.Reader) error {
	archive := tar.NewReader(from)
	for {
		if _, err := archive.Next(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read the archive: %w", err)
		}
		if _, err := io.Copy(io.Discard, archive); err != nil { //nolint:gosec // nothing is kept, and the manifest says how much it is
			return fmt.Errorf("read the archive: %w", err)
		}
	}
}

func readList(from io.Reader) error {
	for list := newListReader(from); ; {
		if _, err := list.next(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// watchedReader ends with its context, and tells how far it is.
type watchedReader struct {
	ctx  context.Context //nolint:containedctx // io.Reader has no room for one
	from io.Reader
	add  func(int64)
}

func (r *watchedReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.from.Read(p)
	r.add(int64(n))
	return n, err
}
