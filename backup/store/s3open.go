package store

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/minio/minio-go/v7"
)

const (
	// resumes is how often a download may break off without getting on by resumeBytes.
	resumes     = attempts
	resumeBytes = 1 << 20
)

// Open reads an object. A connection that breaks off is taken up again where it ended, as long as the
// object is still the same.
func (s *S3) Open(ctx context.Context, name string) (io.ReadCloser, error) {
	if err := validKey(name); err != nil {
		return nil, err
	}
	d := &download{ctx: ctx, store: s, name: name}
	if err := d.request(); err != nil {
		return nil, err
	}
	return d, nil
}

// download is an object that is being read.
type download struct {
	ctx   context.Context //nolint:containedctx // io.Reader has no room for one
	store *S3
	name  string

	body   io.ReadCloser
	tag    string // of the object as it was at first
	size   int64
	offset int64 // of the next byte

	failures int   // since
	since    int64 // this offset
}

// request asks for the object from the offset on.
func (d *download) request() error {
	var options minio.GetObjectOptions
	if d.offset > 0 {
		if err := errors.Join(options.SetRange(d.offset, 0), options.SetMatchETag(d.tag)); err != nil {
			return fmt.Errorf("read %s: %w", d.name, err)
		}
	}
	err := d.store.retry(d.ctx, "read "+d.name, func(ctx context.Context) error {
		body, object, _, err := d.store.core.GetObject(ctx, d.store.options.Bucket, d.store.key(d.name), options)
		if err != nil {
			return err
		}
		d.body = body
		if d.offset == 0 {
			d.tag, d.size = object.ETag, object.Size
		}
		return nil
	})
	if errors.Is(err, errCondition) {
		return fmt.Errorf("read %s: %w", d.name, ErrChanged)
	}
	return err
}

func (d *download) Read(p []byte) (int, error) {
	for d.offset < d.size {
		n, err := d.body.Read(p[:min(int64(len(p)), d.size-d.offset)])
		d.offset += int64(n)
		if n > 0 || len(p) == 0 {
			return n, nil // An error comes again with the next Read.
		}
		if err != nil {
			if err := d.resume(err); err != nil {
				return 0, err
			}
		}
	}
	return 0, io.EOF
}

// resume goes on after broke.
func (d *download) resume(broke error) error {
	if err := d.ctx.Err(); err != nil {
		return fmt.Errorf("read %s: %w", d.name, err)
	}
	if d.offset-d.since >= resumeBytes {
		d.failures, d.since = 0, d.offset
	}
	if d.failures++; d.failures > resumes {
		return d.store.explain("read "+d.name, broke)
	}
	_ = d.body.Close()
	if err := d.store.options.Sleep(d.ctx, pause(d.failures)); err != nil {
		return fmt.Errorf("read %s: %w", d.name, err)
	}
	return d.request()
}

func (d *download) Close() error { return d.body.Close() }
