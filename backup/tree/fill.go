package tree

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

// Blob is one content file. Size is in bytes.
type Blob struct {
	SHA1 [20]byte
	Size int64
}

// name is what Moodle calls the file; leaf is where it lies (file_system_filedir::get_contentdir_from_hash).
func (b Blob) name() string { return hex.EncodeToString(b.SHA1[:]) }

func (b Blob) leaf() string { return b.name()[:2] + "/" + b.name()[2:4] }

func (b Blob) leafKey() [2]byte { return [2]byte(b.SHA1[:2]) }

// FillOptions say what a filedir must hold and where it comes from.
type FillOptions struct {
	// Blobs yields the content files sorted by SHA-1, and ends with the error that yield returns.
	Blobs func(yield func(Blob) error) error
	// Open reads a file that LocalPath does not have. Called from several goroutines.
	Open func(context.Context, Blob) (io.ReadCloser, error)
	// LocalPath is where a file of this host holds it, or "". Nil: nowhere. Called from several goroutines.
	LocalPath func(Blob) string
	// Lost is told of a content file that cannot be had, or is damaged where it comes from, and decides
	// whether to go on (nil) or to end. Nil ends. Never called twice at a time.
	Lost func(Blob, error) error
	// TrustLive takes a file of the right name and size as good without reading it.
	TrustLive bool
	// DryRun only looks what there is to do.
	DryRun  bool
	Workers int // 0: as many as are useful
	// Owner and mode of what is added. What is there already keeps its own.
	UID, GID          int
	DirMode, FileMode uint32
	// Progress is told of bytes of content files that are settled, whether they were there before or not.
	// Called from several goroutines.
	Progress func(bytes int64)
	Logger   *slog.Logger
}

// Filled counts content files, and the bytes of those added and repaired. Existing files are not counted
// as anything if they are not in the list.
type Filled struct{ Had, Added, Repaired, Lost, Bytes int64 }

// FillName is the directory in a filedir in which Fill stages. One that is left from a run that was broken
// off is removed by the next.
const FillName = store.Prefix + "fill"

const (
	batchFiles = 10_000    // staged before they are flushed and named
	batchBytes = 256 << 20 // likewise
	groupFiles = 64        // that one worker takes in hand
)

// Fill adds content files to a filedir, also to that of a site that runs: those that it lacks and those
// that are damaged. Each is hashed while it is copied, and gets its name only when it is on the disk, so
// that a torn file never has one. It removes nothing; a damaged file gives way to the good one.
// It returns when everything is on the disk.
func Fill(ctx context.Context, filedir *os.Root, o FillOptions) (Filled, error) {
	at, err := top(filedir)
	if err != nil {
		return Filled{}, fmt.Errorf("fill %s: %w", filedir.Name(), err)
	}
	defer at.close()
	f := &filling{FillOptions: o, filedir: at}
	f.buffers.New = func() any { return new([copyBuffer]byte) }
	if !o.DryRun {
		if f.staging, err = freshStaging(ctx, at, FillName); err != nil {
			return Filled{}, fmt.Errorf("fill %s: %w", at.path, err)
		}
		defer f.staging.close()
	}
	err = f.all(ctx)
	if !o.DryRun {
		// Also after its context has ended.
		err = errors.Join(err, removeTree(context.WithoutCancel(ctx), at, FillName))
	}
	done := Filled{f.had.Load(), f.added.Load(), f.repaired.Load(), f.lost, f.bytes.Load()}
	if err != nil {
		return done, fmt.Errorf("fill %s: %w", at.path, err)
	}
	return done, nil
}

// filling is a Fill under way.
type filling struct {
	FillOptions
	filedir, staging dir
	buffers          sync.Pool

	had, added, repaired, bytes atomic.Int64
	stagedBytes                 atomic.Int64 // since the last batch
	flushing, cannotClone       atomic.Bool

	mu     sync.Mutex
	staged []staged
	lost   int64
}

type staged struct {
	blob    Blob
	repairs bool
}

func (f *filling) all(ctx context.Context) error {
	workers, inner := errgroup.WithContext(ctx)
	limit := f.Workers
	if limit <= 0 {
		limit = max(2, min(8, 2*runtime.GOMAXPROCS(0)))
	}
	workers.SetLimit(limit)
	var group []Blob
	begin := func() {
		if blobs := group; len(blobs) > 0 {
			workers.Go(func() error { return f.group(inner, blobs) })
			group = make([]Blob, 0, groupFiles)
		}
	}
	listed := f.Blobs(func(b Blob) error {
		if group = append(group, b); len(group) == groupFiles {
			begin()
		}
		return inner.Err()
	})
	if listed == nil {
		begin()
	}
	if err := workers.Wait(); err != nil {
		return err // the reason for which the list was not read on
	}
	if listed != nil || f.DryRun {
		return listed
	}
	if err := f.commit(); err != nil {
		return err
	}
	if f.added.Load()+f.repaired.Load() == 0 {
		return nil
	}
	return f.filedir.flush()
}

func (f *filling) group(ctx context.Context, blobs []Blob) error {
	for len(blobs) > 0 {
		same := 1
		for same < len(blobs) && blobs[same].leafKey() == blobs[0].leafKey() {
			same++
		}
		if err := f.leaf(ctx, blobs[:same]); err != nil {
			return err
		}
		blobs = blobs[same:]
	}
	return nil
}

// leaf settles content files of one directory ab/cd.
func (f *filling) leaf(ctx context.Context, blobs []Blob) error {
	at, err := f.filedir.walk(blobs[0].leaf())
	there := err == nil
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; content files are put into real directories alone", err)
	}
	if there {
		defer at.close()
	}
	for _, b := range blobs {
		if err := ctx.Err(); err != nil {
			return err
		}
		verdict := lacking
		if there {
			if verdict, err = f.look(ctx, at, b); err != nil {
				return err
			}
		}
		if err := f.settle(ctx, b, verdict); err != nil {
			return err
		}
	}
	return nil
}

// settle does what is to be done about one content file.
func (f *filling) settle(ctx context.Context, b Blob, v verdict) error {
	switch {
	case v == good:
		f.had.Add(1)
	case f.DryRun:
		f.count(staged{b, v == damaged})
	default:
		err := f.stage(ctx, b)
		if errors.Is(err, errOrigin) {
			return f.lose(b, err)
		}
		if err != nil {
			return err
		}
		if err := f.enqueue(staged{b, v == damaged}); err != nil {
			return err
		}
	}
	if f.Progress != nil {
		f.Progress(b.Size)
	}
	return nil
}

func (f *filling) count(s staged) {
	f.bytes.Add(s.blob.Size)
	if s.repairs {
		f.repaired.Add(1)
	} else {
		f.added.Add(1)
	}
}

// lose tells of a content file that cannot be had.
func (f *filling) lose(b Blob, err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lost++
	if f.Lost == nil {
		return err
	}
	if f.Progress != nil {
		f.Progress(b.Size)
	}
	return f.Lost(b, err)
}

const (
	lacking verdict = iota
	damaged
	good
)
