package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Save writes beside the final name, checks the length, flushes, renames and flushes the directory.
func (d *Directory) Save(ctx context.Context, name string, size int64, content io.Reader) (int64, error) {
	return d.save(ctx, name, size, content, os.Rename)
}

// SaveSummed is Save.
func (d *Directory) SaveSummed(ctx context.Context, name string, size int64, content io.Reader) (Stored, error) {
	summed := newSumming(content)
	if _, err := d.Save(ctx, name, size, summed); err != nil {
		return Stored{}, err
	}
	return summed.stored(), nil
}

// SaveNew is SaveSummed that leaves a file alone which has the name already.
func (d *Directory) SaveNew(ctx context.Context, name string, size int64, content io.Reader) (Stored, error) {
	summed := newSumming(content)
	_, err := d.save(ctx, name, size, summed, func(from, to string) error {
		return unix.Renameat2(unix.AT_FDCWD, from, unix.AT_FDCWD, to, unix.RENAME_NOREPLACE)
	})
	if errors.Is(err, fs.ErrExist) {
		return Stored{}, fmt.Errorf("save %s: %w", name, ErrExists)
	}
	if err != nil {
		return Stored{}, err
	}
	return summed.stored(), nil
}

func (d *Directory) save(ctx context.Context, name string, size int64, content io.Reader, publish func(from, to string) error) (int64, error) {
	if err := valid(name); err != nil {
		return 0, err
	}
	path := d.Path(name)
	if err := os.MkdirAll(filepath.Dir(path), dirMode); err != nil {
		return 0, fmt.Errorf("save %s: %w", name, err)
	}
	file, err := os.CreateTemp(filepath.Dir(path), Prefix+"*")
	if err != nil {
		return 0, fmt.Errorf("save %s: %w", name, err)
	}
	written, err := io.Copy(file, &reader{ctx, content})
	if err == nil && size != Unknown && written != size {
		err = fmt.Errorf("%w: %d bytes, not %d", ErrShort, written, size)
	}
	if err == nil {
		err = file.Sync()
	}
	err = errors.Join(err, file.Close())
	if err == nil {
		err = publish(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
		return 0, fmt.Errorf("save %s: %w", name, err)
	}
	return written, syncDir(filepath.Dir(path))
}

func syncDir(path string) error {
	dir, err := os.Open(path) //nolint:gosec // a path of ours
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// reader ends with its context.
type reader struct {
	ctx  context.Context //nolint:containedctx // io.Reader has no room for one
	from io.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.from.Read(p)
}
