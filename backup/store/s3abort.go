package store

import (
	"context"
	"errors"
	"strings"

	"github.com/minio/minio-go/v7"
)

// AbortIncomplete throws away what interrupted uploads below prefix have left in the bucket, and returns how
// many there were. Their space is paid for, but no listing shows them. It must not run beside an upload below
// the same prefix. Storage that does not list them, or a key that may not, is no error: then a lifecycle rule
// of the bucket (AbortIncompleteMultipartUpload) has to do it; MinIO does it by itself after a day.
func (s *S3) AbortIncomplete(ctx context.Context, prefix string) (int, error) {
	below := s.below(prefix)
	aborted, err := s.abortBelow(ctx, below, below)
	if err == nil && aborted == 0 {
		// MinIO lists the uploads of one object or those of the whole bucket, nothing between.
		aborted, err = s.abortBelow(ctx, "", below)
	}
	if errors.Is(err, ErrDenied) || errors.Is(err, errUnsupported) {
		err = nil
	}
	return aborted, err
}

// abortBelow aborts what a listing of asked shows below a prefix.
func (s *S3) abortBelow(ctx context.Context, asked, below string) (aborted int, err error) {
	for key, id := "", ""; ; {
		var page minio.ListMultipartUploadsResult
		if err := s.retry(ctx, "list interrupted uploads", func(ctx context.Context) (err error) {
			page, err = s.core.ListMultipartUploads(ctx, s.options.Bucket, asked, key, id, "", 0)
			return err
		}); err != nil {
			return aborted, err
		}
		for _, upload := range page.Uploads {
			if !strings.HasPrefix(upload.Key, below) {
				continue
			}
			err := s.retry(ctx, "throw away an interrupted upload of "+s.name(upload.Key), func(ctx context.Context) error {
				return s.core.AbortMultipartUpload(ctx, s.options.Bucket, upload.Key, upload.UploadID)
			})
			if err != nil && !errors.Is(err, errNoUpload) {
				return aborted, err
			}
			aborted++
		}
		if !page.IsTruncated {
			return aborted, nil
		}
		key, id = page.NextKeyMarker, page.NextUploadIDMarker
	}
}
