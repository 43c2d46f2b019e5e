package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
)

// Sealed is a store whose contents are encrypted with age before they leave this host, and decrypted as
// they are read. Names are not encrypted: those of the pool tell which contents a site holds.
//
// Stat and List give the sizes of what is stored, the ciphertext. Save returns the length of the content,
// SaveSummed and SaveNew tell size and digest of the ciphertext.
type Sealed struct {
	inner      Remote
	recipients []age.Recipient
	identities []age.Identity
	plain      func(name string) bool
}

// NewSealed encrypts contents of inner to recipients, all but those whose name is plain. Reading them needs
// one of the identities; a store that is only written to has none.
func NewSealed(inner Remote, recipients []age.Recipient, identities []age.Identity, plain func(name string) bool) *Sealed {
	return &Sealed{inner: inner, recipients: recipients, identities: identities, plain: plain}
}

// Save encrypts content; the length it returns is that of the content.
func (s *Sealed) Save(ctx context.Context, name string, size int64, content io.Reader) (int64, error) {
	counted := &counting{from: content}
	if _, err := s.save(ctx, name, size, counted, s.inner.SaveSummed); err != nil {
		return 0, err
	}
	return counted.size, nil
}

// SaveSummed encrypts content.
func (s *Sealed) SaveSummed(ctx context.Context, name string, size int64, content io.Reader) (Stored, error) {
	return s.save(ctx, name, size, content, s.inner.SaveSummed)
}

// SaveNew encrypts content.
func (s *Sealed) SaveNew(ctx context.Context, name string, size int64, content io.Reader) (Stored, error) {
	return s.save(ctx, name, size, content, s.inner.SaveNew)
}

type saver func(ctx context.Context, name string, size int64, content io.Reader) (Stored, error)

func (s *Sealed) save(ctx context.Context, name string, size int64, content io.Reader, save saver) (Stored, error) {
	if s.plain(name) {
		return save(ctx, name, size, content)
	}
	sealing, err := newSealing(content, s.recipients)
	if err != nil {
		return Stored{}, fmt.Errorf("encrypt %s: %w", name, err)
	}
	if size != Unknown {
		size = sealing.size(size)
	}
	return save(ctx, name, size, sealing)
}

// Open decrypts a file. Content that was damaged or cut off is an error of Read, never a short file.
func (s *Sealed) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	if s.plain(name) {
		return s.inner.Open(ctx, name)
	}
	if len(s.identities) == 0 {
		return nil, fmt.Errorf("open %s: %w: the private age key that belongs to backup.encrypt_to is needed, pass --identity=FILE", name, ErrSealed)
	}
	file, err := s.inner.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	content, err := age.Decrypt(file, s.identities...)
	if err != nil {
		var none *age.NoIdentityMatchError
		if errors.As(err, &none) {
			err = fmt.Errorf("%w to other keys than those of the identity file", ErrSealed)
		}
		return nil, errors.Join(fmt.Errorf("decrypt %s: %w", name, err), file.Close())
	}
	return struct {
		io.Reader
		io.Closer
	}{content, file}, nil
}

// Stat describes a file as it is stored.
func (s *Sealed) Stat(ctx context.Context, name string) (Info, error) { return s.inner.Stat(ctx, name) }

// List shows files as they are stored.
func (s *Sealed) List(ctx context.Context, prefix string, each func(Info) error) error {
	return s.inner.List(ctx, prefix, each)
}

// Dirs are those of the store below.
func (s *Sealed) Dirs(ctx context.Context) ([]string, error) { return s.inner.Dirs(ctx) }

// Remove deletes a file.
func (s *Sealed) Remove(ctx context.Context, name string) error { return s.inner.Remove(ctx, name) }

// What age v1 makes of a payload: chunks of 64 KiB, each with a tag of 16 bytes; nothing is one empty chunk
// (https://c2sp.org/age, "Payload").
const (
	chunkSize = 64 << 10
	tagSize   = 16
)

// sealing is the ciphertext of from, made as it is read.
type sealing struct {
	from    io.Reader
	to      io.WriteCloser // encrypts into ready
	ready   bytes.Buffer
	header  int64 // bytes before the first chunk
	content [chunkSize]byte
	ended   bool
}

func newSealing(from io.Reader, recipients []age.Recipient) (*sealing, error) {
	s := &sealing{from: from}
	var err error
	if s.to, err = age.Encrypt(&s.ready, recipients...); err != nil {
		return nil, err
	}
	s.header = int64(s.ready.Len())
	return s, nil
}

// size is the length of the ciphertext of so much content.
func (s *sealing) size(content int64) int64 {
	chunks := max(1, (content+chunkSize-1)/chunkSize)
	return s.header + content + chunks*tagSize
}

func (s *sealing) Read(p []byte) (int, error) {
	for s.ready.Len() == 0 && !s.ended {
		n, err := s.from.Read(s.content[:])
		if _, failed := s.to.Write(s.content[:n]); failed != nil {
			return 0, failed
		}
		if errors.Is(err, io.EOF) {
			s.ended = true
			err = s.to.Close()
		}
		if err != nil {
			return 0, err
		}
	}
	return s.ready.Read(p)
}

// counting counts what is read.
type counting struct {
	from io.Reader
	size int64
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.size += int64(n)
	return n, err
}
