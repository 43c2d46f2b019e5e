package store

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// Batch stages files in the directory staging of this store.
func (d *Directory) Batch(staging string) (Batch, error) {
	if err := valid(staging); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(d.Path(staging), dirMode); err != nil {
		return nil, err
	}
	return &batch{directory: d, staging: d.Path(staging)}, nil
}

type batch struct {
	directory *Directory
	staging   string

	mu     sync.Mutex
	serial int
	staged []staged
}

type staged struct{ temporary, name string }

func (b *batch) Add(name string, fill func(*os.File) error) error {
	if err := valid(name); err != nil {
		return err
	}
	b.mu.Lock()
	b.serial++
	temporary := filepath.Join(b.staging, strconv.Itoa(b.serial))
	b.mu.Unlock()
	file, err := os.OpenFile(temporary, os.O_CREATE|os.O_EXCL|os.O_WRONLY, fileMode) //nolint:gosec // a path of ours
	if err != nil {
		return err
	}
	if err := errors.Join(fill(file), file.Close()); err != nil {
		_ = os.Remove(temporary)
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.staged = append(b.staged, staged{temporary, name})
	return nil
}

func (b *batch) Commit() error {
	b.mu.Lock()
	ready := b.staged
	b.staged = nil
	b.mu.Unlock()
	if len(ready) == 0 {
		return nil
	}
	// One flush of the file system costs about as much as one fsync; thousands of those would take minutes.
	if err := b.directory.Sync(); err != nil {
		return err
	}
	for _, file := range ready {
		path := b.directory.Path(file.name)
		err := os.Rename(file.temporary, path)
		if errors.Is(err, os.ErrNotExist) {
			if err = os.MkdirAll(filepath.Dir(path), dirMode); err == nil {
				err = os.Rename(file.temporary, path)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}
