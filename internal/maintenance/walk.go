package maintenance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// openRoot opens a directory by its path, of which no part may be a link: whoever owns one of its parents could make
// it lead anywhere.
func openRoot(path string) (*os.File, error) {
	dir, err := unix.Open("/", unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err //nolint:wrapcheck // wrapped with the path
	}
	for name := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		below, err := unix.Openat(dir, name, asDirectory, 0)
		_ = unix.Close(dir)
		if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) {
			return nil, fmt.Errorf("%q in it is a link or no directory; name the directory by its real path in the configuration", name)
		}
		if err != nil {
			return nil, err //nolint:wrapcheck // wrapped with the path
		}
		dir = below
	}
	return os.NewFile(uintptr(dir), path), nil
}

// asDirectory opens a directory and nothing else, without following a link.
const asDirectory = unix.O_DIRECTORY | unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NONBLOCK

// clean goes through one directory, which it closes, and those below. The error is that of ctx: what cannot be cleaned is
// counted.
func (c *cleaner) clean(ctx context.Context, dir *os.File, path string, depth int) error {
	defer func() { _ = dir.Close() }()
	var self unix.Stat_t
	fd := int(dir.Fd())
	if err := unix.Fstat(fd, &self); err != nil {
		c.found.fail(path, err)
		return nil
	}
	// A lock on a directory asks cleaners to stay out: systemd.io/TEMPORARY_DIRECTORIES.
	if c.kept[inodeOf(&self)] || errors.Is(unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB), unix.EWOULDBLOCK) {
		return nil
	}
	for {
		names, err := dir.Readdirnames(1000)
		for _, name := range names {
			if err := ctx.Err(); err != nil {
				return err //nolint:wrapcheck // the end of the run
			}
			if err := c.entry(ctx, fd, &self, path, name, depth); err != nil {
				return err
			}
		}
		if err != nil {
			if !errors.Is(err, io.EOF) && !gone(err) {
				c.found.fail(path, err)
			}
			return nil
		}
	}
}

// entry looks at one name in an open directory.
func (c *cleaner) entry(ctx context.Context, in int, parent *unix.Stat_t, parentPath, name string, depth int) error {
	path := parentPath + "/" + name
	if c.spares(name) || c.excluded(path) {
		return nil
	}
	var status unix.Stat_t
	if err := unix.Fstatat(in, name, &status, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		if !gone(err) {
			c.found.fail(path, err)
		}
		return nil
	}
	if c.seen != nil {
		c.seen(path)
	}
	switch status.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		// Another device is a mount. Files are not asked for theirs: an overlay shows those of its layers.
		if status.Dev != parent.Dev || depth == deepest {
			return nil
		}
		below, err := c.below(in, name, &status)
		if err != nil {
			if !gone(err) && !errors.Is(err, errMount) {
				c.found.fail(path, err)
			}
			return nil
		}
		return c.clean(ctx, below, path, depth+1)
	case unix.S_IFREG:
		c.file(in, name, path, &status)
	}
	return nil // links, sockets, pipes and devices are not files that somebody forgot
}

// errMount is a directory that is the root of something mounted from elsewhere.
var errMount = errors.New("something is mounted there")

// below opens the directory that status is of, unless something was put in its place or is mounted on it. Device numbers do
// not tell a directory that is mounted a second time in the same filesystem; openat2 does, on Linux 5.6 and later.
func (c *cleaner) below(in int, name string, status *unix.Stat_t) (*os.File, error) {
	fd, err := unix.Openat2(in, name, &unix.OpenHow{Flags: asDirectory, Resolve: unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_BENEATH})
	switch {
	case errors.Is(err, unix.EXDEV):
		return nil, errMount
	case errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM): // EPERM: a sandbox that does not know the call
		fd, err = unix.Openat(in, name, asDirectory, 0)
	}
	if err != nil {
		return nil, err //nolint:wrapcheck // wrapped with the path
	}
	dir := os.NewFile(uintptr(fd), name)
	var opened unix.Stat_t
	if err := unix.Fstat(fd, &opened); err != nil || inodeOf(&opened) != inodeOf(status) {
		_ = dir.Close()
		return nil, errors.Join(err, unix.ENOENT)
	}
	return dir, nil
}

// gone is a file that somebody else has removed or replaced while we looked at it.
func gone(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR)
}

func inodeOf(status *unix.Stat_t) inode { return inode{status.Dev, status.Ino} }
