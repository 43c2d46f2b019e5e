package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	dirMode  = 0o700
	fileMode = 0o600
)

// Directory is a store in a directory of this host. Files are 0600, directories 0700.
type Directory struct{ dir string }

// NewDirectory is the store in dir, which need not exist as long as it is only read.
func NewDirectory(dir string) *Directory { return &Directory{dir: dir} }

// Make makes the directory if need be, and closes it to others.
func (d *Directory) Make() error {
	if err := os.MkdirAll(d.dir, dirMode); err != nil {
		return fmt.Errorf("make backup directory: %w", err)
	}
	if err := os.Chmod(d.dir, dirMode); err != nil {
		return fmt.Errorf("close the backup directory to others: %w", err)
	}
	return nil
}

// Dirs are the names of the directories at the top.
func (d *Directory) Dirs(context.Context) ([]string, error) {
	entries, err := os.ReadDir(d.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		if entry.IsDir() && !strings.HasPrefix(entry.Name(), Prefix) {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

// Path is where a name lies in the file system.
func (d *Directory) Path(name string) string { return filepath.Join(d.dir, filepath.FromSlash(name)) }

// Open reads a file.
func (d *Directory) Open(_ context.Context, name string) (io.ReadCloser, error) {
	if err := valid(name); err != nil {
		return nil, err
	}
	return os.Open(d.Path(name))
}

// Stat describes a file; a directory, link or device is not one.
func (d *Directory) Stat(_ context.Context, name string) (Info, error) {
	if err := valid(name); err != nil {
		return Info{}, err
	}
	info, err := os.Lstat(d.Path(name))
	if err != nil {
		return Info{}, err
	}
	if !info.Mode().IsRegular() {
		return Info{}, &fs.PathError{Op: "stat", Path: name, Err: errors.New("not a regular file")}
	}
	return Info{Name: name, Size: info.Size(), ModTime: info.ModTime()}, nil
}

// Remove deletes a file.
func (d *Directory) Remove(_ context.Context, name string) error {
	if err := valid(name); err != nil {
		return err
	}
	if err := os.Remove(d.Path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// MakeDir makes an empty directory.
func (d *Directory) MakeDir(name string) error {
	if err := valid(name); err != nil {
		return err
	}
	return os.Mkdir(d.Path(name), dirMode)
}

// Link makes target another name of the file name, in place of what target was.
func (d *Directory) Link(name, target string) error {
	if err := errors.Join(valid(name), valid(target)); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(d.Path(target)), dirMode); err != nil {
		return err
	}
	if err := d.Remove(context.Background(), target); err != nil {
		return err
	}
	return os.Link(d.Path(name), d.Path(target))
}

// Rename publishes name as target and flushes both directories.
func (d *Directory) Rename(name, target string) error {
	if err := errors.Join(valid(name), valid(target)); err != nil {
		return err
	}
	if err := os.Rename(d.Path(name), d.Path(target)); err != nil {
		return err
	}
	return errors.Join(syncDir(filepath.Dir(d.Path(target))), syncDir(filepath.Dir(d.Path(name))))
}

// RemoveTree deletes name and all below it.
func (d *Directory) RemoveTree(name string) error {
	if err := valid(name); err != nil {
		return err
	}
	return os.RemoveAll(d.Path(name))
}

// Sync flushes the file system that the directory lies on.
func (d *Directory) Sync() error {
	dir, err := os.Open(d.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Syncfs(int(dir.Fd())); err != nil {
		return fmt.Errorf("flush %s: %w", d.dir, err)
	}
	return nil
}
