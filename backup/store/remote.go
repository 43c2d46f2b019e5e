package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
)

// What a store elsewhere may answer. Each reads on in the error that wraps it: what it means and what to do.
var (
	// ErrExists is a name that SaveNew found taken.
	ErrExists = errors.New("the store holds a file of that name already")
	// ErrDenied is a key that lacks a right.
	ErrDenied = errors.New("the off-site key lacks the right to do this")
	// ErrKey is an access key or secret key that the storage does not accept.
	ErrKey = errors.New("the off-site storage does not accept the key")
	// ErrClock is a clock, here or there, that is wrong by more than the signature of a request allows.
	ErrClock = errors.New("the clocks of this host and of the off-site storage differ too much")
	// ErrNoBucket is a bucket that does not exist.
	ErrNoBucket = errors.New("there is no such off-site bucket")
	// ErrRegion is a bucket that lies in another region than requests were signed for.
	ErrRegion = errors.New("the off-site bucket lies in another region")
	// ErrFull is storage without room, or a quota that is used up.
	ErrFull = errors.New("the off-site storage is full")
	// ErrTLS is a certificate that cannot be trusted, or plain HTTP where TLS is spoken and the reverse.
	ErrTLS = errors.New("no trusted connection to the off-site storage")
	// ErrUnreachable is storage that does not answer, or stops answering, however often it is tried.
	ErrUnreachable = errors.New("the off-site storage cannot be reached")
	// ErrChanged is a file that was replaced while it was read.
	ErrChanged = errors.New("the file was replaced while it was read")
	// ErrSealed is encrypted content that none of the given identities opens.
	ErrSealed = errors.New("the content is encrypted")
)

// Stored describes what lies in the store after a save: the ciphertext where contents are encrypted.
type Stored struct {
	Size   int64  // bytes
	SHA256 string // lower-case hexadecimal digits
}

// Remote is a store that copies go to. All methods may be called from many goroutines.
type Remote interface {
	Store
	// SaveSummed is Save that tells size and digest of the bytes that were stored.
	SaveSummed(ctx context.Context, name string, size int64, content io.Reader) (Stored, error)
	// SaveNew is SaveSummed for a name that must be free: one that is taken is ErrExists, and its content
	// stays as it is.
	SaveNew(ctx context.Context, name string, size int64, content io.Reader) (Stored, error)
}

// summing reads from and keeps length and digest of all that was read.
type summing struct {
	from   io.Reader
	digest hash.Hash
	size   int64
}

func newSumming(from io.Reader) *summing { return &summing{from: from, digest: sha256.New()} }

func (s *summing) Read(p []byte) (int, error) {
	n, err := s.from.Read(p)
	s.size += int64(n)
	s.digest.Write(p[:n])
	return n, err
}

func (s *summing) stored() Stored {
	return Stored{Size: s.size, SHA256: hex.EncodeToString(s.digest.Sum(nil))}
}
