package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"
)

// OwnOptions bound Own.
type OwnOptions struct {
	// Skip leaves out an entry, by path, and all below it.
	Skip func(path string) bool
}

// Owned counts entries.
type Owned struct {
	Changed int64
	// Linked are files with several names that belong to somebody else. They are left as they are: who can
	// write to the tree may have made one of a file from outside.
	Linked int64
}

// Own gives everything in a tree, also a live one, to uid and gid, where it is not theirs. Links are not
// followed, mount points below the top not entered. Modes stay, but for setuid and setgid bits of files,
// which the kernel takes away.
func Own(ctx context.Context, root *os.Root, uid, gid int, o OwnOptions) (Owned, error) {
	at, err := top(root)
	if err != nil {
		return Owned{}, fmt.Errorf("give %s to %d:%d: %w", root.Name(), uid, gid, err)
	}
	defer at.close()
	w := owning{OwnOptions: o, uid: uid, gid: gid}
	if w.mount, err = at.mountID(); err == nil {
		err = w.tree(ctx, at, ".")
	}
	if err != nil {
		return w.Owned, fmt.Errorf("give %s to %d:%d: %w", root.Name(), uid, gid, immutable(err))
	}
	return w.Owned, nil
}

type owning struct {
	OwnOptions
	Owned
	uid, gid int
	mount    uint64
}

// tree handles an open directory and what is in it.
func (w *owning) tree(ctx context.Context, at dir, name string) error {
	if mount, err := at.mountID(); err != nil || mount != w.mount {
		return err
	}
	if err := w.settle(at.fd, at.path); err != nil {
		return err
	}
	names, err := at.names()
	if err != nil {
		return err
	}
	for _, child := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		below := path.Join(name, child)
		if w.Skip != nil && w.Skip(below) {
			continue
		}
		if err := w.entry(ctx, at, child, below); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (w *owning) entry(ctx context.Context, at dir, name, below string) error {
	status, err := at.stat(name)
	if err != nil {
		return err
	}
	if status.Mode&unix.S_IFMT == unix.S_IFDIR {
		in, err := at.sub(name)
		if errors.Is(err, errNotDirectory) {
			return nil // it was a directory a moment ago; who plays such games keeps what he has
		}
		if err != nil {
			return err
		}
		defer in.close()
		return w.tree(ctx, in, below)
	}
	if w.theirs(status) {
		return nil
	}
	// What is looked at and what is changed must be one thing: O_PATH opens it without reading it.
	fd, err := unix.Openat(at.fd, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return failed("open", at.join(name), err)
	}
	defer unix.Close(fd) //nolint:errcheck // only looked at
	return w.settle(fd, at.join(name))
}

func (w *owning) theirs(status unix.Stat_t) bool {
	return int(status.Uid) == w.uid && int(status.Gid) == w.gid
}

func (w *owning) settle(fd int, path string) error {
	var status unix.Stat_t
	if err := unix.Fstat(fd, &status); err != nil {
		return failed("stat", path, err)
	}
	switch {
	case w.theirs(status):
		return nil
	case status.Mode&unix.S_IFMT != unix.S_IFDIR && status.Nlink > 1:
		w.Linked++
		return nil
	}
	w.Changed++
	return failed("chown", path, unix.Fchownat(fd, "", w.uid, w.gid, unix.AT_EMPTY_PATH))
}
