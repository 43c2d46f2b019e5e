package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/minio/minio-go/v7"
)

// upload is one object on its way.
type upload struct {
	name  string
	size  int64 // or Unknown
	fresh bool  // must not replace another
}

// Save uploads content; an object of that name is replaced at once when all of it has arrived.
func (s *S3) Save(ctx context.Context, name string, size int64, content io.Reader) (int64, error) {
	stored, err := s.SaveSummed(ctx, name, size, content)
	return stored.Size, err
}

// SaveSummed is Save.
func (s *S3) SaveSummed(ctx context.Context, name string, size int64, content io.Reader) (Stored, error) {
	return s.save(ctx, upload{name: name, size: size}, content)
}

// SaveNew uploads content if there is no object of that name. Storage that does not know If-None-Match is
// asked first, which leaves a moment in which another host could save the same name.
func (s *S3) SaveNew(ctx context.Context, name string, size int64, content io.Reader) (Stored, error) {
	u := upload{name: name, size: size, fresh: true}
	// What takes many requests is not worth sending only to be refused by the last of them.
	if size == Unknown || size > partSize {
		if _, err := s.Stat(ctx, name); !errors.Is(err, ErrNotFound) {
			return Stored{}, found(u, err)
		}
	}
	return s.save(ctx, u, content)
}

// found is why an upload that must be new cannot be: err of a look for the name, or that it is there.
func found(u upload, err error) error {
	if err == nil || errors.Is(err, errCondition) {
		return fmt.Errorf("save %s: %w", u.name, ErrExists)
	}
	return err
}

func (s *S3) save(ctx context.Context, u upload, content io.Reader) (Stored, error) {
	if err := validKey(u.name); err != nil {
		return Stored{}, err
	}
	if u.size != Unknown {
		// One byte more is enough to tell that there is too much.
		content = io.LimitReader(content, u.size+1)
	}
	counted := newSumming(&reader{ctx, content})
	send := s.saveWhole
	if u.size == Unknown || u.size > partSize {
		send = s.saveParts
	}
	if err := send(ctx, u, counted); err != nil {
		return Stored{}, err
	}
	return counted.stored(), nil
}

// saveWhole sends an object in one request.
func (s *S3) saveWhole(ctx context.Context, u upload, content *summing) error {
	buffer, err := s.buffers.get(ctx, u.size)
	if err != nil {
		return fmt.Errorf("save %s: %w", u.name, err)
	}
	defer buffer.release()
	if err := ended(u, content, buffer.fill(content)); err != nil {
		return err
	}
	sums := buffer.sums()
	return s.commit(ctx, u, sums.etag(), func(ctx context.Context, options minio.PutObjectOptions) error {
		_, err := s.core.PutObject(ctx, s.options.Bucket, s.key(u.name), buffer.content(), u.size, sums.md5Base64(), sums.sha256Hex(), options)
		return err
	})
}

// ended says whether content had its announced length, where err is how the last read of it went.
func ended(u upload, content *summing, err error) error {
	if err == nil && u.size != Unknown {
		_, err = io.ReadFull(content, make([]byte, 1))
	}
	if err != nil && !isEnd(err) {
		return fmt.Errorf("save %s: %w", u.name, err)
	}
	if u.size != Unknown && content.size > u.size {
		return fmt.Errorf("save %s: %w: more than %d bytes", u.name, ErrShort, u.size)
	}
	if u.size != Unknown && content.size < u.size {
		return fmt.Errorf("save %s: %w: %d bytes, not %d", u.name, ErrShort, content.size, u.size)
	}
	return nil
}

// commit sends the request that makes the object visible.
func (s *S3) commit(ctx context.Context, u upload, etag string, send func(context.Context, minio.PutObjectOptions) error) error {
	attempts := 0
	err := s.retry(ctx, "save "+u.name, func(ctx context.Context) error {
		attempts++
		if u.fresh && !s.unconditional.Load() {
			options := plainOptions
			options.SetMatchETagExcept("*")
			err := send(ctx, options)
			if minio.ToErrorResponse(err).StatusCode != http.StatusNotImplemented {
				return err
			}
			s.unconditional.Store(true)
		}
		if u.fresh {
			_, err := s.core.StatObject(ctx, s.options.Bucket, s.key(u.name), minio.StatObjectOptions{})
			if err == nil {
				return errCondition
			}
			if minio.ToErrorResponse(err).StatusCode != http.StatusNotFound {
				return err
			}
		}
		return send(ctx, plainOptions)
	})
	// An attempt whose answer was lost may have succeeded. The storage tells the MD5 that it received as ETag,
	// unless it encrypts by itself.
	if attempts > 1 && (errors.Is(err, errCondition) || errors.Is(err, errNoUpload)) {
		object, lookErr := s.core.StatObject(ctx, s.options.Bucket, s.key(u.name), minio.StatObjectOptions{})
		if lookErr == nil && object.ETag == etag {
			return nil
		}
	}
	if errors.Is(err, errCondition) {
		return found(u, err)
	}
	return err
}

// plainOptions keep the library from signing chunk by chunk, which it prefers over plain HTTP to the digest of
// the whole that we give it: storage calls damage in such a chunk a wrong key.
var plainOptions = minio.PutObjectOptions{DisableContentSha256: true}
