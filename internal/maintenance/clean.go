package maintenance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
)

// cleaner removes old regular files below its roots. These trees belong to everybody, and we are root: so it goes from
// directory to directory by descriptor, opens each by one name without following a link, and removes by that
// descriptor. Whatever is swapped meanwhile, nothing outside is reached.
type cleaner struct {
	config.Cleaning
	// used are the times of which the newest counts.
	used func(*unix.Stat_t) time.Time
	// takes says whether a file of this name and size is of the kind that is looked for.
	takes func(name string, size int64) bool
	// spares says whether a file or directory is left to its owner whatever its age.
	spares func(name string) bool
	// protect are directories that are left alone wherever they lie: sites, their data, backups, our own state.
	protect  []string
	procRoot string
	clock    func() time.Time
	logger   *slog.Logger
	// list is told of each file; nothing is removed then.
	list io.Writer
	// seen is called between the look at a file or directory and what follows from it, for tests; nil for none.
	seen func(path string)

	inUse map[inode]bool
	kept  map[inode]bool // protect, as the kernel knows it
	limit time.Time
	found tally
}

// inode is what a file is, whatever it is called.
type inode struct{ dev, ino uint64 }

// tally is what a cleaning did.
type tally struct {
	files, open, linked, failed int
	bytes                       int64
	first                       error // of the failed
}

func (t *tally) fail(path string, err error) {
	t.failed++
	if t.first == nil {
		t.first = fmt.Errorf("%q: %w", path, err)
	}
}

func (t *tally) add(status *unix.Stat_t) {
	t.files++
	t.bytes += status.Blocks * 512
}

// told is how many files are named in a log or a list; the rest is counted.
const told = 1000

// deepest is how far down it goes: every level holds a descriptor, and nobody's temporary files lie deeper.
const deepest = 100

// run cleans all roots. Those that do not exist have nothing to clean.
func (c *cleaner) run(ctx context.Context) error {
	c.found, c.limit = tally{}, c.clock().Add(-time.Duration(c.Age))
	c.kept = map[inode]bool{}
	for _, dir := range c.protect {
		var status unix.Stat_t
		if unix.Stat(dir, &status) == nil {
			c.kept[inodeOf(&status)] = true
		}
	}
	var err error
	if c.inUse, err = openFiles(c.procRoot); err != nil {
		return err
	}
	for _, root := range c.Roots {
		dir, err := openRoot(root)
		if errors.Is(err, fs.ErrNotExist) || err != nil && c.another(root) {
			continue
		}
		if err != nil {
			c.found.fail(root, err)
			continue
		}
		if err := c.clean(ctx, dir, root, 0); err != nil {
			return err
		}
	}
	if c.found.failed > 0 {
		return fmt.Errorf("%d files or directories could not be cleaned, the first of them %w", c.found.failed, c.found.first)
	}
	return nil
}

// another says whether a root is only another name of one that is cleaned anyway, as /var/tmp is of /tmp on some hosts.
func (c *cleaner) another(root string) bool {
	real, err := filepath.EvalSymlinks(root)
	return err == nil && real != root && slices.Contains(c.Roots, real)
}

// file removes a regular file if it is old and nobody's.
func (c *cleaner) file(in int, name, path string, status *unix.Stat_t) {
	switch {
	case !c.takes(name, status.Size) || c.used(status).After(c.limit):
		return
	case status.Mode&unix.S_ISVTX != 0 && status.Uid == 0:
		return // root's sign, as on directories of sockets
	case status.Nlink > 1:
		// Somebody gave it another name: no space would be won, and whoever made the link may rely on this one.
		c.found.linked++
		return
	case c.inUse[inodeOf(status)]:
		c.found.open++
		return
	}
	if c.list != nil {
		if c.found.files < told {
			_, _ = fmt.Fprintf(c.list, "%q\t%d bytes\tuntouched since %s\n", path, status.Size, c.used(status).Format(time.DateOnly))
		}
		c.found.add(status)
		return
	}
	if err := c.remove(in, name, status); err != nil {
		if !gone(err) && !errors.Is(err, unix.EBUSY) { // busy: something is mounted on it
			c.found.fail(path, err)
		}
		return
	}
	if c.found.files < told {
		c.logger.Info("removed", "path", path, "size", status.Size)
	}
	c.found.add(status)
}

// remove looks once more, so that what somebody has just put in its place stays.
func (c *cleaner) remove(in int, name string, seen *unix.Stat_t) error {
	var now unix.Stat_t
	if err := unix.Fstatat(in, name, &now, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err //nolint:wrapcheck // wrapped with the path
	}
	if inodeOf(&now) != inodeOf(seen) || now.Ctim != seen.Ctim || now.Mtim != seen.Mtim || now.Atim != seen.Atim {
		return unix.ENOENT
	}
	return unix.Unlinkat(in, name, 0) //nolint:wrapcheck // wrapped with the path
}

func (c *cleaner) excluded(path string) bool {
	for _, pattern := range c.Exclude {
		if matched, err := filepath.Match(pattern, path); matched && err == nil {
			return true
		}
	}
	return false
}
