package drill

import (
	"archive/tar"
	"context"
	"crypto/sha1" //nolint:gosec // Moodle names its content files by it
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/backup/tree"
)

// Directories of the drill's own.
const (
	codeDir = "code"
	dataDir = "data"
)

// unpack unpacks code and data, owned by the site's user.
func (d *drill) unpack(ctx context.Context) error {
	for _, part := range []struct{ component, dir string }{{backup.Code, codeDir}, {backup.Files, dataDir}} {
		if err := d.unpackOne(ctx, part.component, d.path(part.dir)); err != nil {
			return err
		}
	}
	return nil
}

func (d *drill) unpackOne(ctx context.Context, component, dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	name := backup.FileOf(component)
	want, _ := d.Reader.Manifest.File(name)
	file, err := d.Reader.Open(ctx, name)
	if err != nil {
		return err
	}
	defer file.Close()
	owner := func(*tar.Header) (uid, gid int) { return int(d.user.UID), int(d.user.GID) }
	if os.Geteuid() != 0 {
		owner = func(*tar.Header) (uid, gid int) { return os.Getuid(), os.Getgid() }
	}
	_, err = tree.Extract(ctx, file, root, tree.ExtractOptions{Owner: owner, MaxBytes: want.ContentSize, Progress: d.run.Add})
	if err := backup.Settle(file, err); err != nil {
		return fmt.Errorf("unpack %s: %w", name, err)
	}
	return nil
}

// readers read content files at a time.
const readers = 4

// readContent reads each content file and holds it against the SHA-1 that it is named by.
func (d *drill) readContent(ctx context.Context) error {
	if d.Reader.Manifest.Filedir == nil {
		return nil
	}
	tally := &tally{}
	workers, inner := errgroup.WithContext(ctx)
	blobs := make(chan backup.Blob)
	for range readers {
		workers.Go(func() error {
			buffer := make([]byte, 256<<10)
			for b := range blobs {
				if err := d.readBlob(inner, b, buffer); err != nil {
					if inner.Err() != nil {
						return inner.Err()
					}
					tally.bad(b, err)
					continue
				}
				tally.good(b)
				d.run.Add(b.Size)
			}
			return nil
		})
	}
	err := d.Reader.Blobs(inner, func(b backup.Blob) error {
		select {
		case blobs <- b:
			return nil
		case <-inner.Done():
			return inner.Err()
		}
	})
	close(blobs)
	if err := errors.Join(err, workers.Wait()); err != nil {
		return err
	}
	d.result.Blobs, d.result.Bytes = tally.count, tally.bytes
	return tally.err()
}

func (d *drill) readBlob(ctx context.Context, b backup.Blob, buffer []byte) error {
	file, err := d.Reader.OpenBlob(ctx, b)
	if err != nil {
		return err
	}
	defer file.Close()
	digest := sha1.New() //nolint:gosec // as above
	n, err := io.CopyBuffer(digest, struct{ io.Reader }{file}, buffer)
	if err != nil {
		return err
	}
	if n != b.Size || [20]byte(digest.Sum(nil)) != b.SHA1 {
		return errors.New("it is damaged")
	}
	return nil
}

// tally counts what was read.
type tally struct {
	mu           sync.Mutex
	count, bytes int64
	wrong        int64
	first        error
}

func (t *tally) good(b backup.Blob) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	t.bytes += b.Size
}

func (t *tally) bad(b backup.Blob, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wrong++
	if t.first == nil {
		t.first = fmt.Errorf("content file %s: %w", b, err)
	}
}

func (t *tally) err() error {
	if t.wrong == 0 {
		return nil
	}
	return fmt.Errorf("%d content files of the backup cannot be restored, first: %w.\nSee `moodle-exporter backup verify --read-data`, and make a new backup: it mends what the site still has", t.wrong, t.first)
}
