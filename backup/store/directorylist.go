package store

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
)

// List walks the directory in the order in which a bucket lists: by the bytes of the whole name, so that
// "a.txt" comes before "a/1".
func (d *Directory) List(ctx context.Context, prefix string, each func(Info) error) error {
	if prefix == "" {
		return d.walk(ctx, ".", each) // The place itself may be a link.
	}
	if err := valid(prefix); err != nil {
		return err
	}
	info, err := os.Lstat(d.Path(prefix))
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return nil
	}
	if err != nil {
		return err
	}
	return d.walk(ctx, prefix, each)
}

func (d *Directory) walk(ctx context.Context, dir string, each func(Info) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	entries, err := os.ReadDir(d.Path(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(sortedBy(a), sortedBy(b)) })
	for _, entry := range entries {
		name := path.Join(dir, entry.Name())
		switch {
		case strings.HasPrefix(entry.Name(), Prefix):
			continue
		case entry.IsDir():
			err = d.walk(ctx, name, each)
		case entry.Type().IsRegular():
			err = listed(entry, name, each)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// listed shows a file, unless it has gone since its directory was read.
func listed(entry fs.DirEntry, name string, each func(Info) error) error {
	info, err := entry.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return each(Info{Name: name, Size: info.Size(), ModTime: info.ModTime()})
}

// sortedBy is where the names of an entry, or of all that is below it, stand among those of its directory.
func sortedBy(entry fs.DirEntry) string {
	if entry.IsDir() {
		return entry.Name() + "/"
	}
	return entry.Name()
}
