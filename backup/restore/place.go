package restore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/backup/tree"
	"github.com/moodle-exporter/moodle-exporter/internal/command"
)

// Names in the directory of ours that a tree is staged in.
const (
	newTree = "new"
	oldTree = "old"
)

// staging is the directory beside, or in, a live tree where its successor is made and it is kept itself.
type staging struct {
	dir  string // that it lies in
	name string
	root *os.Root // of the new tree
	keep *os.Root // of the directory itself
}

func (s *staging) path(name string) string { return filepath.Join(s.dir, s.name, name) }

func (s *staging) close() {
	if s != nil {
		_ = s.root.Close()
		_ = s.keep.Close()
	}
}

// stage extracts the archive of a component beside its place.
func (r *restoration) stage(ctx context.Context, component string, place tree.Place) (*staging, error) {
	s := &staging{dir: place.Stage, name: store.Prefix + r.journal.ID}
	r.journal.Scratch = append(r.journal.Scratch, filepath.Join(s.dir, s.name))
	if err := r.journal.save(); err != nil {
		return nil, err
	}
	var err error
	if s.keep, err = tree.MakeStaging(s.dir, s.name); err != nil {
		return nil, fmt.Errorf("make a place for the new %s: %w", component, err)
	}
	if s.root, err = openNew(s.keep); err != nil {
		_ = s.keep.Close()
		return nil, fmt.Errorf("make a place for the new %s: %w", component, err)
	}
	mounts, closeAll, err := r.stageMounts(place)
	defer closeAll()
	if err != nil {
		return s, fmt.Errorf("make a place for the new %s: %w", component, err)
	}
	return s, r.extract(ctx, component, s.root, mounts)
}

// openNew makes the directory of the new tree.
func openNew(keep *os.Root) (*os.Root, error) {
	if err := keep.Mkdir(newTree, 0o700); err != nil {
		return nil, err
	}
	return keep.OpenRoot(newTree)
}

// stageMounts makes a place in each file system that is mounted within a tree: what belongs there cannot be
// renamed into it from outside.
func (r *restoration) stageMounts(place tree.Place) (roots map[string]*os.Root, closeAll func(), err error) {
	roots = map[string]*os.Root{}
	closeAll = func() {
		for _, root := range roots {
			_ = root.Close()
		}
	}
	for _, mount := range place.Mounts {
		dir, name := filepath.Join(place.Live, mount), store.Prefix+r.journal.ID
		r.journal.Scratch = append(r.journal.Scratch, filepath.Join(dir, name))
		if err := r.journal.save(); err != nil {
			return roots, closeAll, err
		}
		keep, err := tree.MakeStaging(dir, name)
		if err != nil {
			return roots, closeAll, err
		}
		roots[mount], err = openNew(keep)
		_ = keep.Close()
		if err != nil {
			delete(roots, mount)
			return roots, closeAll, err
		}
	}
	return roots, closeAll, nil
}

// extract puts the archive of a component into root. The archive is proven when it has been read to its end.
func (r *restoration) extract(ctx context.Context, component string, root *os.Root, mounts map[string]*os.Root) error {
	name := backup.FileOf(component)
	want, _ := r.Reader.Manifest.File(name)
	file, err := r.Reader.Open(ctx, name)
	if err != nil {
		return err
	}
	defer file.Close()
	found, err := tree.Extract(ctx, file, root, tree.ExtractOptions{
		Owner: r.owners(component), Mounts: mounts, MaxBytes: want.ContentSize, MaxEntries: want.ContentSize/blockSize + 1, Progress: r.run.Add,
	})
	if err := backup.Settle(file, err); err != nil {
		return fmt.Errorf("unpack %s: %w", name, err)
	}
	r.Logger.Info("unpacked", "file", name, "entries", found.Entries, "bytes", found.Bytes)
	return nil
}

// blockSize is that of a tar file: no entry takes less.
const blockSize = 512

// ensureDir makes a directory that does not exist, and notes that it was made.
func (r *restoration) ensureDir(path string, mode os.FileMode) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if parent := filepath.Dir(path); parent != path {
		if _, err := os.Stat(parent); errors.Is(err, fs.ErrNotExist) {
			if err := r.ensureDir(parent, 0o755); err != nil {
				return err
			}
		}
	}
	r.journal.Made = append(r.journal.Made, path)
	if err := r.journal.save(); err != nil {
		return err
	}
	if err := os.Mkdir(path, mode); err != nil {
		return err
	}
	return os.Chmod(path, mode) // not left to the umask
}

// letIn lets the site's user read what is staged, as long as the returned function is not called: code is
// tried with that user's rights, and in the place where it is staged nobody else has any.
func (s *staging) letIn(user *command.User) (func(), error) {
	if os.Geteuid() != 0 {
		return func() {}, nil
	}
	err := errors.Join(s.keep.Lchown(".", 0, int(user.GID)), s.keep.Chmod(".", 0o710))
	return func() { _ = s.keep.Chmod(".", 0o700) }, err
}

// putFile writes a file of a staged tree anew, with the owner and mode of another one.
func putFile(root *os.Root, name string, content []byte, like fs.FileInfo) error {
	if err := root.RemoveAll(name); err != nil {
		return err
	}
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if status, ok := like.Sys().(*syscall.Stat_t); ok && err == nil && os.Geteuid() == 0 {
		err = file.Chown(int(status.Uid), int(status.Gid))
	}
	if err == nil {
		err = file.Chmod(like.Mode().Perm() &^ 0o002)
	}
	return errors.Join(err, file.Close())
}

// like gives a file or directory the owner and mode of another one, but for writing by everybody.
func like(root *os.Root, name string, other fs.FileInfo) error {
	status, ok := other.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	if os.Geteuid() == 0 {
		if err := root.Lchown(name, int(status.Uid), int(status.Gid)); err != nil {
			return err
		}
	}
	return root.Chmod(name, other.Mode()&(fs.ModePerm|fs.ModeSetgid)&^0o002)
}

// rewrite gives a file other content.
func rewrite(root *os.Root, name string, content []byte) error {
	info, err := root.Lstat(name)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file", name)
	}
	return putFile(root, name, content, info)
}

func (o *Options) openBlob(ctx context.Context, b tree.Blob) (io.ReadCloser, error) {
	return o.Reader.OpenBlob(ctx, backup.Blob(b))
}
