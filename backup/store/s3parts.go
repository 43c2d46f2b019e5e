package store

import (
	"context"
	"crypto/md5" //nolint:gosec // the protocol's checksum against damage on the way, not against an attacker
	"encoding/hex"
	"fmt"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"
)

const (
	// partSize is what is sent in one request: larger objects go in parts, so that a connection that is cut
	// costs one part, and memory stays flat. Amazon wants 5 MiB or more.
	partSize = 8 << 20
	// maxParts is the most that S3 takes for one object. Objects of known size beyond maxParts*partSize
	// (78 GiB) get larger parts.
	maxParts = 10_000
	// unknownPartSize allows 156 GiB where nobody knows the size beforehand. Some storage wants all parts
	// of an object to be of one size, so they cannot grow on the way.
	unknownPartSize = 16 << 20
	partsAtOnce     = 3
	abortTimeout    = 30 * time.Second
)

// saveParts sends an object in parts that become one object with the last request.
func (s *S3) saveParts(ctx context.Context, u upload, content *summing) error {
	var id string
	err := s.retry(ctx, "save "+u.name, func(ctx context.Context) (err error) {
		id, err = s.core.NewMultipartUpload(ctx, s.options.Bucket, s.key(u.name), minio.PutObjectOptions{})
		return err
	})
	if err != nil {
		return err
	}
	parts, etag, err := s.sendParts(ctx, u, id, content)
	if err == nil {
		err = s.commit(ctx, u, etag, func(ctx context.Context, options minio.PutObjectOptions) error {
			_, err := s.core.CompleteMultipartUpload(ctx, s.options.Bucket, s.key(u.name), id, parts, options)
			return err
		})
	}
	if err != nil {
		// What cannot be cleaned up now AbortIncomplete will find; the first error is the one that counts.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
		defer cancel()
		_ = s.core.AbortMultipartUpload(ctx, s.options.Bucket, s.key(u.name), id)
	}
	return err
}

// sendParts reads content to its end and sends it, a few parts at a time. The tag is the one that the
// storage will give to the object.
func (s *S3) sendParts(ctx context.Context, u upload, id string, content *summing) ([]minio.CompletePart, string, error) {
	size := int64(unknownPartSize)
	if u.size != Unknown {
		size = max(partSize, (u.size+maxParts-1)/maxParts)
	}
	var parts []*minio.CompletePart
	tags := md5.New() //nolint:gosec // how S3 makes the tag
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(partsAtOnce)
	var err error
	for err == nil {
		var part *buffer
		if part, err = s.buffers.get(groupCtx, size); err != nil {
			break
		}
		err = part.fill(content)
		if err == nil && len(parts) == maxParts {
			err = fmt.Errorf("larger than %d parts of %d bytes, the most that S3 takes", maxParts, size)
		}
		if err != nil && !isEnd(err) || part.size == 0 && len(parts) > 0 {
			part.release()
			break
		}
		sums := part.sums()
		tags.Write(sums.md5[:])
		done := &minio.CompletePart{PartNumber: len(parts) + 1}
		parts = append(parts, done)
		group.Go(func() error {
			defer part.release()
			return s.sendPart(groupCtx, u, id, part, sums, done)
		})
	}
	if failed := group.Wait(); failed != nil {
		return nil, "", failed
	}
	complete := make([]minio.CompletePart, len(parts))
	for i, part := range parts {
		complete[i] = *part
	}
	return complete, fmt.Sprintf("%s-%d", hex.EncodeToString(tags.Sum(nil)), len(parts)), ended(u, content, err)
}

func (s *S3) sendPart(ctx context.Context, u upload, id string, part *buffer, sums sums, done *minio.CompletePart) error {
	return s.retry(ctx, fmt.Sprintf("save %s, part %d", u.name, done.PartNumber), func(ctx context.Context) error {
		sent, err := s.core.PutObjectPart(ctx, s.options.Bucket, s.key(u.name), id, done.PartNumber, part.content(), part.size,
			minio.PutObjectPartOptions{Md5Base64: sums.md5Base64(), Sha256Hex: sums.sha256Hex(), DisableContentSha256: plainOptions.DisableContentSha256})
		done.ETag = sent.ETag
		return err
	})
}
