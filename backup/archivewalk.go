package backup

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

// entry is one file system object on its way into an archive.
type entry struct {
	root *os.Root
	path string // in root
	name string // in the archive
	info fs.FileInfo
	link string // target of a symbolic link
}

// walk visits everything in order; directories come before what is in them.
func (a *archive) walk(ctx context.Context, visit func(entry) error, note func(string)) error {
	for _, source := range a.sources {
		root, err := os.OpenRoot(source.root)
		if err != nil {
			return err
		}
		err = a.descend(ctx, root, source.path, source.name, visit, note)
		_ = root.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *archive) descend(ctx context.Context, root *os.Root, at, name string, visit func(entry) error, note func(string)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	info, err := root.Lstat(at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // gone since its directory was read
	}
	if err != nil {
		if at == "." {
			return err
		}
		note("cannot be read: " + name)
		return nil
	}
	what := a.skip(name, info)
	if what == takeNothing || strings.HasPrefix(path.Base(name), store.Prefix) {
		return nil
	}
	e := entry{root: root, path: at, name: name, info: info}
	switch mode := info.Mode(); {
	case mode&fs.ModeSymlink != 0:
		if e.link, err = root.Readlink(at); err != nil {
			note("cannot be read: " + name)
			return nil
		}
	case !mode.IsDir() && !mode.IsRegular():
		a.special("is a " + kindOf(mode) + " and not backed up: " + name)
		return nil
	}
	if err := visit(e); err != nil {
		return err
	}
	if !info.IsDir() || what == takeEmpty {
		return nil
	}
	names, err := (&tree{root: root}).names(at)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		if at == "." {
			return err
		}
		note("cannot be read: " + name)
		return nil
	}
	for _, child := range names {
		if err := a.descend(ctx, root, path.Join(at, child), path.Join(name, child), visit, note); err != nil {
			return err
		}
	}
	return nil
}

func kindOf(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeSocket != 0:
		return "socket"
	case mode&fs.ModeNamedPipe != 0:
		return "pipe"
	}
	return "device"
}

// sortSources orders them by name and drops those that lie in another.
func sortSources(sources []source) []source {
	slices.SortFunc(sources, func(a, b source) int { return strings.Compare(a.name, b.name) })
	var kept []source
	for _, s := range sources {
		if !slices.ContainsFunc(kept, func(k source) bool { return s.name == k.name || strings.HasPrefix(s.name, k.name+"/") }) {
			kept = append(kept, s)
		}
	}
	return kept
}
