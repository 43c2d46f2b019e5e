package tree

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

// CompareOptions are those of the extraction that the tree came from.
type CompareOptions struct {
	ExtractOptions
	Limit int // of differences to name; 0 is 100
}

// Difference is one thing that is not as an archive has it.
type Difference struct {
	Path string
	// What differs: missing, extra, type, size, mode, owner, link, time or content.
	What      string
	Want, Got string // empty where they say nothing
}

// String is for messages.
func (d Difference) String() string {
	if d.Want == "" && d.Got == "" {
		return fmt.Sprintf("%q: %s", d.Path, d.What)
	}
	return fmt.Sprintf("%q: %s %q instead of %q", d.Path, d.What, d.Got, d.Want)
}

// Compare tells how a tree differs from what an archive says: entries that are missing or too many, their
// types, sizes, modes, owners, times and link targets, and the content of files, byte by byte. It stops at
// the limit; otherwise it reads the archive to its end. What is too many is told by directory, and only in
// directories that the archive holds itself.
func Compare(ctx context.Context, from io.Reader, root *os.Root, o CompareOptions) ([]Difference, error) {
	c := &comparison{CompareOptions: o, buffers: [2][]byte{make([]byte, copyBuffer), make([]byte, copyBuffer)}}
	if c.Limit <= 0 {
		c.Limit = 100
	}
	at, err := newStack(root, o.Mounts, c.extra)
	if err != nil {
		return nil, fmt.Errorf("compare: %w", err)
	}
	defer at.close()
	c.at = at
	all := o.ExtractOptions
	all.Want = nil // what is not wanted is no extra either
	err = all.entries(newStream(ctx, from, o.MaxBytes, o.Progress), c.entry)
	if err == nil {
		err = at.finish()
	}
	if err != nil && !errors.Is(err, errLimit) {
		return c.found, fmt.Errorf("compare: %w", err)
	}
	return c.found, nil
}

var errLimit = errors.New("enough differences")

type comparison struct {
	CompareOptions
	at      *stack
	found   []Difference
	buffers [2][]byte
}

func (c *comparison) differs(name, what, want, got string) error {
	c.found = append(c.found, Difference{name, what, want, got})
	if len(c.found) >= c.Limit {
		return errLimit
	}
	return nil
}

func (c *comparison) entry(header *tar.Header, name string, content io.Reader) error {
	wanted := c.Want == nil || c.Want(name)
	parent, err := c.at.enter(path.Dir(name))
	if err == nil && parent.seen != nil {
		parent.seen[path.Base(name)] = struct{}{}
	}
	var status unix.Stat_t
	_, elsewhere := c.at.mounts[name]
	switch {
	case !wanted:
		return nil
	case elsewhere: // the mount point that a staging directory stands for keeps its own attributes
		in, err := c.at.enter(name)
		if err == nil {
			in.seen = map[string]struct{}{}
		}
		return err
	case err == nil:
		status, err = parent.stat(path.Base(name))
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errNotDirectory):
		return c.differs(name, "missing", "", "")
	case err != nil:
		return err
	}
	if want, got := kindOf(header), kinds[status.Mode&unix.S_IFMT]; want != got {
		return c.differs(name, "type", want, got)
	}
	if header.Typeflag == tar.TypeLink {
		return c.same(name, header, status)
	}
	if header.Typeflag == tar.TypeDir {
		if parent, err = c.at.enter(name); err != nil {
			return err
		}
		parent.seen = map[string]struct{}{}
	}
	if err := c.metadata(parent, name, header, status); err != nil {
		return err
	}
	if header.Typeflag == tar.TypeReg {
		return c.content(parent, name, header, content)
	}
	return nil
}

var kinds = map[uint32]string{
	unix.S_IFREG: "file", unix.S_IFDIR: "directory", unix.S_IFLNK: "link", unix.S_IFIFO: "pipe", unix.S_IFSOCK: "socket",
	unix.S_IFCHR: "device", unix.S_IFBLK: "device",
}

func kindOf(header *tar.Header) string {
	switch header.Typeflag {
	case tar.TypeDir:
		return "directory"
	case tar.TypeSymlink:
		return "link"
	}
	return "file"
}

// same checks that two names are of one file.
func (c *comparison) same(name string, header *tar.Header, status unix.Stat_t) error {
	target, err := relative(header.Name, header.Linkname)
	if err != nil {
		return err
	}
	from, base, err := c.at.locate(target)
	if err == nil {
		defer from.close()
		var other unix.Stat_t
		if other, err = from.stat(base); err == nil && other.Ino == status.Ino && other.Dev == status.Dev {
			return nil
		}
	}
	return c.differs(name, "link", target, "a file of its own")
}

func (c *comparison) metadata(parent *level, name string, header *tar.Header, status unix.Stat_t) error {
	want := c.attributes(header)
	is := func(what, want, got string) error {
		if want == got {
			return nil
		}
		return c.differs(name, what, want, got)
	}
	if header.Typeflag == tar.TypeSymlink {
		target, err := parent.readlink(path.Base(name))
		if err != nil {
			return err
		}
		if err := is("link", header.Linkname, target); err != nil {
			return err
		}
	} else if err := is("mode", fmt.Sprintf("%04o", want.mode), fmt.Sprintf("%04o", status.Mode&0o7777)); err != nil {
		return err
	}
	if err := is("owner", fmt.Sprintf("%d:%d", want.uid, want.gid), fmt.Sprintf("%d:%d", status.Uid, status.Gid)); err != nil {
		return err
	}
	return is("time", strconv.FormatInt(want.time.Sec, 10), strconv.FormatInt(status.Mtim.Sec, 10))
}

func (c *comparison) content(parent *level, name string, header *tar.Header, content io.Reader) error {
	file, err := parent.open(path.Base(name))
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if info.Size() != header.Size {
		return c.differs(name, "size", strconv.FormatInt(header.Size, 10), strconv.FormatInt(info.Size(), 10))
	}
	for {
		n, err := io.ReadFull(content, c.buffers[0])
		if err != nil && !errors.Is(err, io.EOF) && (!errors.Is(err, io.ErrUnexpectedEOF) || n == 0) {
			return err
		}
		if n == 0 {
			return nil
		}
		m, err := io.ReadFull(file, c.buffers[1][:n])
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		if m != n || !bytes.Equal(c.buffers[0][:n], c.buffers[1][:n]) {
			return c.differs(name, "content", "", "")
		}
	}
}

// extra looks for what the archive does not have in a directory.
func (c *comparison) extra(l *level) error {
	if l.seen == nil {
		return nil
	}
	names, err := l.names()
	if err != nil {
		return err
	}
	for _, name := range names {
		if _, known := l.seen[name]; known || strings.HasPrefix(name, store.Prefix) {
			continue
		}
		if err := c.differs(path.Join(l.name, name), "extra", "", ""); err != nil {
			return err
		}
	}
	return nil
}
