package tree

import (
	"context"
	"crypto/sha1" //nolint:gosec // Moodle names content by it
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// errOrigin marks what is wrong where a content file comes from, and not where it goes.
var errOrigin = errors.New("cannot be had from the backup")

// stage copies a content file into the staging directory, on its way to the disk, with owner and mode.
func (f *filling) stage(ctx context.Context, b Blob) (err error) {
	to, err := f.staging.create(b.name())
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("the list of content files names %s twice", b.name())
	}
	if err != nil {
		return err
	}
	if err = f.fetch(ctx, b, to); err == nil {
		// The disk begins now: a flush of all the batch at a time would hold up the commits of a database that
		// is loaded meanwhile.
		_ = unix.SyncFileRange(int(to.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE) // a hint; flush is what counts
		err = dir{fd: int(to.Fd()), path: to.Name()}.settle(&attributes{uid: f.UID, gid: f.GID, mode: int64(f.FileMode)})
	}
	if err = errors.Join(err, to.Close()); err != nil {
		_ = f.staging.remove(b.name())
	}
	return err
}

// fetch brings the content, and proves it.
func (f *filling) fetch(ctx context.Context, b Blob, to *os.File) error {
	local := ""
	if f.LocalPath != nil {
		local = f.LocalPath(b)
	}
	if local == "" {
		if f.Open == nil {
			return fmt.Errorf("content file %s %w", b.name(), errOrigin)
		}
		from, err := f.Open(ctx, b)
		if err != nil {
			return fmt.Errorf("content file %s %w: %w", b.name(), errOrigin, err)
		}
		defer from.Close()
		return f.transfer(ctx, from, to, b)
	}
	from, err := os.Open(local)
	if err != nil {
		return fmt.Errorf("content file %s %w: %w", b.name(), errOrigin, err)
	}
	defer from.Close()
	// On one file system that can, the copy shares its blocks with the backup until one of them is written
	// to, which neither ever is. The copy is read, not the backup: it is the one that is proven.
	if !f.cannotClone.Load() {
		if unix.IoctlFileClone(int(to.Fd()), int(from.Fd())) == nil {
			return f.transfer(ctx, to, io.Discard, b)
		}
		f.cannotClone.Store(true)
	}
	return f.transfer(ctx, from, to, b)
}

// transfer copies and hashes a content file. A fault of the reader is errOrigin, wrong content ErrDamaged
// besides.
func (f *filling) transfer(ctx context.Context, from io.Reader, to io.Writer, b Blob) error {
	buffer := f.buffers.Get().(*[copyBuffer]byte)
	defer f.buffers.Put(buffer)
	digest, size := sha1.New(), int64(0) //nolint:gosec // as above
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := from.Read(buffer[:])
		if size += int64(n); size > b.Size {
			break // the rest can only be as wrong, and without end
		}
		digest.Write(buffer[:n])
		if _, err := to.Write(buffer[:n]); err != nil {
			return err
		}
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("content file %s %w: %w", b.name(), errOrigin, errors.Join(err, ctx.Err()))
		}
	}
	if size != b.Size || [20]byte(digest.Sum(nil)) != b.SHA1 {
		return fmt.Errorf("content file %s %w: %w", b.name(), errOrigin, ErrDamaged)
	}
	return nil
}

// enqueue lets a staged file wait for its batch. The disk is flushed while other workers go on.
func (f *filling) enqueue(s staged) error {
	f.mu.Lock()
	f.staged = append(f.staged, s)
	full := len(f.staged) >= batchFiles
	f.mu.Unlock()
	full = f.stagedBytes.Add(s.blob.Size) > batchBytes || full
	if !full || !f.flushing.CompareAndSwap(false, true) {
		return nil
	}
	defer f.flushing.Store(false)
	return f.commit()
}

// commit gives their names to all files staged so far, once they are on the disk.
func (f *filling) commit() error {
	f.mu.Lock()
	ready := f.staged
	f.staged = nil
	f.mu.Unlock()
	f.stagedBytes.Store(0)
	if len(ready) == 0 {
		return nil
	}
	if err := f.staging.flush(); err != nil {
		return err
	}
	for _, file := range ready {
		f.staging.leaveCache(file.blob.name())
	}
	slices.SortFunc(ready, func(a, b staged) int { return slices.Compare(a.blob.SHA1[:], b.blob.SHA1[:]) })
	for len(ready) > 0 {
		same := 1
		for same < len(ready) && ready[same].blob.leafKey() == ready[0].blob.leafKey() {
			same++
		}
		if err := f.name(ready[:same]); err != nil {
			return err
		}
		ready = ready[same:]
	}
	return nil
}

// name moves files into their directory.
func (f *filling) name(files []staged) error {
	top, err := f.makeDir(f.filedir, files[0].blob.name()[:2])
	if err != nil {
		return err
	}
	defer top.close()
	leaf, err := f.makeDir(top, files[0].blob.name()[2:4])
	if err != nil {
		return err
	}
	defer leaf.close()
	for _, file := range files {
		name := file.blob.name()
		err := again(func() error { return unix.Renameat(f.staging.fd, name, leaf.fd, name) })
		if err != nil {
			return failed("rename", leaf.join(name), err)
		}
		f.count(file)
	}
	return nil
}

// makeDir opens a directory of the filedir, or makes it as the others are.
func (f *filling) makeDir(at dir, name string) (dir, error) {
	next, err := at.sub(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return next, err
	}
	if err := at.mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return dir{}, err
	}
	if next, err = at.sub(name); err != nil {
		return dir{}, err
	}
	if err := next.settle(&attributes{uid: f.UID, gid: f.GID, mode: int64(f.DirMode)}); err != nil {
		next.close()
		return dir{}, err
	}
	return next, nil
}
