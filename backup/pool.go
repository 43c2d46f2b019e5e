package backup

import (
	"context"
	"crypto/sha1" //nolint:gosec // Moodle names content by it
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

// errCorrupt is a content file whose content is not what its name says. It never enters the pool.
var errCorrupt = errors.New("the content does not have the SHA-1 that the file is named by")

// errSource marks what went wrong on the site's side: one file is lost, the backup goes on.
var errSource = errors.New("cannot be read")

const (
	batchFiles = 10_000 // staged before they are flushed and named
	batchBytes = 256 << 20
	copyBuffer = 512 << 10
)

// pool copies content files that are new into the store. Its fields are counts of the files it handled.
type pool struct {
	store store.Local
	site  *tree
	own   *tree
	batch store.Batch
	run   Run
	log   *slog.Logger

	newBlobs, newSize atomic.Int64
	staged            atomic.Int64 // bytes
	replaced          atomic.Bool  // a file of the pool had another size than the site's

	mu         sync.Mutex
	corrupt    []sum // the first few
	corruptAll int64
	unreadable int64
	buffers    sync.Pool
}

// fewNames is how many files a message names; the rest is a number.
const fewNames = 10

func newPool(s store.Local, filedir string, run Run, log *slog.Logger) (*pool, error) {
	site, err := openTree(filedir)
	if err != nil {
		return nil, fmt.Errorf("open the site's filedir: %w", err)
	}
	if err := os.MkdirAll(s.Path(poolName), 0o700); err != nil {
		site.close()
		return nil, fmt.Errorf("make the pool: %w", err)
	}
	own, err := openTree(s.Path(poolName))
	if err != nil {
		site.close()
		return nil, fmt.Errorf("open the pool: %w", err)
	}
	p := &pool{store: s, site: site, own: own, run: run, log: log}
	p.buffers.New = func() any { return make([]byte, copyBuffer) }
	if p.batch, err = s.Batch(path.Join("pool", blobsName)); err != nil {
		p.close()
		return nil, fmt.Errorf("make the pool: %w", err)
	}
	return p, nil
}

func (p *pool) close() {
	p.site.close()
	p.own.close()
}

// copy brings the pool up to date with the site's filedir and calls seen for every content file of the
// site, in order, with whether the pool lacked it.
func (p *pool) copy(ctx context.Context, seen func(blob, bool) error) error {
	return p.copyFrom(ctx, func(ctx context.Context, each func(blob, bool) error) error {
		return p.compare(ctx, func(b blob, lacking bool) error {
			return errors.Join(seen(b, lacking), each(b, lacking))
		})
	})
}

// copyFrom copies those files of a walk that the pool lacks.
func (p *pool) copyFrom(ctx context.Context, walk func(context.Context, func(blob, bool) error) error) error {
	workers, inner := errgroup.WithContext(ctx)
	workers.SetLimit(manyAtOnce())
	var flushing atomic.Bool
	staged := 0
	walked := walk(inner, func(b blob, lacking bool) error {
		if !lacking {
			return nil
		}
		workers.Go(func() error { return p.fetch(inner, p.site, b) })
		// The disk is flushed while the next files are read.
		if staged++; (staged >= batchFiles || p.staged.Load() > batchBytes) && flushing.CompareAndSwap(false, true) {
			staged = 0
			p.staged.Store(0)
			workers.Go(func() error {
				defer flushing.Store(false)
				return p.batch.Commit()
			})
		}
		return nil
	})
	if err := workers.Wait(); err != nil {
		return fmt.Errorf("copy content files: %w", err)
	}
	if walked != nil {
		return fmt.Errorf("copy content files: %w", walked)
	}
	if err := p.batch.Commit(); err != nil {
		return fmt.Errorf("copy content files: %w", err)
	}
	return nil
}

// fetch copies one file from the site and proves its content on the way. What is wrong with the file
// itself is noted; only what is wrong with the store is an error.
func (p *pool) fetch(ctx context.Context, from *tree, b blob) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var copied int64
	err := p.batch.Add(path.Join(poolName, b.sum.path()), func(to *os.File) (err error) {
		copied, err = p.transfer(from, to, b.sum)
		return err
	})
	switch {
	case err == nil:
		p.newBlobs.Add(1)
		p.newSize.Add(copied)
		p.staged.Add(copied)
		p.run.Add(b.size)
		return nil
	case errors.Is(err, errCorrupt):
		p.noteCorrupt(b.sum)
		return nil
	case errors.Is(err, errSource) && errors.Is(err, fs.ErrNotExist):
		return nil // deleted since it was listed; the audit looks for it in trashdir
	case errors.Is(err, errSource):
		p.broken(err)
		return nil
	}
	return err
}

func (p *pool) transfer(from *tree, to io.Writer, want sum) (copied int64, err error) {
	file, err := from.open(want)
	if err != nil {
		return 0, fmt.Errorf("%s %w: %w", want, errSource, err)
	}
	defer file.Close()
	if from.ours {
		defer leaveCache(file)
	}
	buffer := p.buffers.Get().([]byte)
	defer p.buffers.Put(buffer) //nolint:staticcheck // half a megabyte is worth more than the header that Put allocates
	digest := sha1.New()        //nolint:gosec // as above
	for {
		n, err := file.Read(buffer)
		if n > 0 {
			digest.Write(buffer[:n])
			if _, err := to.Write(buffer[:n]); err != nil {
				return copied, err
			}
			copied += int64(n)
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return copied, fmt.Errorf("%s %w: %w", want, errSource, err)
		}
	}
	if sum(digest.Sum(nil)) != want {
		return copied, fmt.Errorf("%s: %w", want, errCorrupt)
	}
	return copied, nil
}

// noteCorrupt counts a damaged file of the site once, however often it is met.
func (p *pool) noteCorrupt(s sum) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, known := range p.corrupt {
		if known == s {
			return
		}
	}
	p.corruptAll++
	if len(p.corrupt) < 10_000 {
		p.corrupt = append(p.corrupt, s)
	}
	if p.corruptAll <= fewNames {
		p.log.Warn("a content file of the site is damaged and is not backed up; older backups may hold a good copy", "file", s.path(), "err", errCorrupt)
	}
}

// broken notes what cannot be read in the site. If the database needs it, the audit counts it as missing.
func (p *pool) broken(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unreadable++; p.unreadable <= fewNames {
		p.log.Warn("a part of the site's filedir cannot be read", "err", err)
	}
}
