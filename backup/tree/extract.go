package tree

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ExtractOptions say what to take out of an archive and how. Only MaxBytes must be set.
type ExtractOptions struct {
	// Owner maps the owner that an archive names to one of this host; nil takes the numbers as they are.
	Owner func(*tar.Header) (uid, gid int)
	// Want picks entries by path ("." is the top); nil takes all. Directories on the way to a wanted entry
	// are made in any case, with mode 0755.
	Want func(path string) bool
	// Mounts are directories of the tree whose content goes elsewhere: by path, the roots of staging
	// directories on other file systems (see Place).
	Mounts map[string]*os.Root
	// MaxBytes bounds the tar file as a whole (the manifest's content size). As a file cannot have holes,
	// what is extracted is no larger.
	MaxBytes int64
	// MaxEntries bounds the number of entries; 0 leaves it to MaxBytes.
	MaxEntries int64
	// Progress is told of bytes of the archive as they are read.
	Progress func(bytes int64)
}

// Extracted sums up an extraction.
type Extracted struct {
	Entries int64    // that were put in place
	Bytes   int64    // of the whole archive
	SHA256  [32]byte // of the whole archive
	// Dropped are files whose setuid and setgid bits were left out.
	Dropped int64
	// Outside are symbolic links that lead out of the tree. They are restored and never followed.
	Outside int64
}

// Extract reads an uncompressed tar file to its end and puts its entries into root, a directory of ours
// that nobody else can write to: owners, modes and times as recorded, links as links. Extended attributes
// are not. It returns when everything is on the disk.
//
// An archive with an entry that no backup holds, or that would touch anything but what the archive itself
// has made, is refused (ErrHostile), one without its end mark is ErrTruncated. Whatever error it is, what
// lies in root by then is worth nothing.
func Extract(ctx context.Context, from io.Reader, root *os.Root, o ExtractOptions) (Extracted, error) {
	at, err := newStack(root, o.Mounts, (*level).finish)
	if err != nil {
		return Extracted{}, fmt.Errorf("extract: %w", err)
	}
	defer at.close()
	at.make = true
	e := &extraction{ExtractOptions: o, at: at, buffer: make([]byte, copyBuffer)}
	in := newStream(ctx, from, o.MaxBytes, o.Progress)
	if err := e.entries(in, e.put); err != nil {
		return e.Extracted, fmt.Errorf("extract: %w", err)
	}
	if err := errors.Join(at.finish(), at.flush()); err != nil {
		return e.Extracted, fmt.Errorf("extract: %w", err)
	}
	e.Bytes, e.SHA256 = in.size, in.sum()
	return e.Extracted, nil
}

type extraction struct {
	ExtractOptions
	Extracted
	at     *stack
	buffer []byte
}

// entries calls each for every wanted entry of an archive and reads it to its end.
func (o *ExtractOptions) entries(in *stream, each func(header *tar.Header, name string, content io.Reader) error) error {
	archive := tar.NewReader(in)
	for count := int64(1); ; count++ {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return in.drain()
		}
		if err != nil {
			return torn(err)
		}
		if o.MaxEntries > 0 && count > o.MaxEntries {
			return hostile(header.Name, "the archive has more than the %d entries that are recorded", o.MaxEntries)
		}
		if err := allowed(header); err != nil {
			return err
		}
		name, err := nameOf(header)
		if err != nil {
			return err
		}
		if o.Want != nil && !o.Want(name) {
			continue
		}
		if err := each(header, name, archive); errors.Is(err, ErrHostile) {
			return err
		} else if err != nil {
			return fmt.Errorf("%q: %w", header.Name, torn(err))
		}
	}
}

// torn tells an archive that ends early from one that is none.
func torn(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: %w", ErrTruncated, err)
	}
	return err
}

func (e *extraction) put(header *tar.Header, name string, content io.Reader) error {
	parent := path.Dir(name)
	if header.Typeflag == tar.TypeDir {
		parent = name
	}
	in, err := e.at.enter(parent)
	if errors.Is(err, errNotDirectory) {
		return hostile(header.Name, "it lies below, or is put in the place of, something that is no directory: %v", err)
	}
	if err != nil {
		return err
	}
	switch base := path.Base(name); header.Typeflag {
	case tar.TypeDir:
		in.later = e.attributes(header)
	case tar.TypeSymlink:
		err = e.symlink(in, base, header)
	case tar.TypeLink:
		err = e.link(in, base, header)
	default:
		err = e.file(in, base, header, content)
	}
	if errors.Is(err, fs.ErrExist) {
		return hostile(header.Name, "there is something of this name already: %v", err)
	}
	e.Entries++
	return err
}

// attributes of an entry, as it will have them.
func (o *ExtractOptions) attributes(header *tar.Header) *attributes {
	uid, gid := o.owner(header)
	mode := header.Mode & 0o3777 // setgid and sticky bits of a directory are in use
	if header.Typeflag == tar.TypeReg {
		mode &= 0o777
	}
	return &attributes{uid, gid, mode, timeOf(header)}
}

func (o *ExtractOptions) owner(header *tar.Header) (uid, gid int) {
	if o.Owner != nil {
		return o.Owner(header)
	}
	return header.Uid, header.Gid
}

func timeOf(header *tar.Header) unix.Timespec {
	return unix.Timespec{Sec: header.ModTime.Unix(), Nsec: int64(header.ModTime.Nanosecond())}
}

func (e *extraction) file(in *level, name string, header *tar.Header, content io.Reader) error {
	if header.Mode&(unix.S_ISUID|unix.S_ISGID) != 0 {
		e.Dropped++
	}
	file, err := in.create(name)
	if err != nil {
		return err
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{file}, content, e.buffer)
	if err == nil {
		err = dir{fd: int(file.Fd()), path: in.join(name)}.settle(e.attributes(header))
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return in.setTime(name, timeOf(header))
}

func (d dir) setTime(name string, time unix.Timespec) error {
	times := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, time}
	return failed("chtimes", d.join(name), unix.UtimesNanoAt(d.fd, name, times, unix.AT_SYMLINK_NOFOLLOW))
}

func (e *extraction) symlink(in *level, name string, header *tar.Header) error {
	target := header.Linkname
	if filepath.IsAbs(target) || !filepath.IsLocal(path.Join(in.name, target)) { //nolint:gosec // only looked at
		e.Outside++
	}
	if err := unix.Symlinkat(target, in.fd, name); err != nil {
		return failed("symlink", in.join(name), err)
	}
	uid, gid := e.owner(header)
	if err := in.own(name, uid, gid); err != nil {
		return err
	}
	return in.setTime(name, timeOf(header))
}

// link makes another name of a file that the archive has brought before.
func (e *extraction) link(in *level, name string, header *tar.Header) error {
	target, err := relative(header.Name, header.Linkname)
	if err != nil {
		return err
	}
	from, base, err := e.at.locate(target)
	if errors.Is(err, errNotDirectory) {
		return hostile(header.Name, "it is another name of %q, which lies below a link", target)
	}
	if err == nil {
		defer from.close()
		err = from.linkTo(base, in.dir, name)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist) && e.Want != nil && !e.Want(target):
		return fmt.Errorf("it is another name of %q, which is not asked for", target)
	case errors.Is(err, fs.ErrNotExist):
		return hostile(header.Name, "it is another name of %q, which has not come before it", target)
	case errors.Is(err, errNotRegular):
		return hostile(header.Name, "it is another name of %q, which is no file", target)
	}
	return err
}

var errNotRegular = errors.New("is no regular file")

func (d dir) linkTo(name string, to dir, target string) error {
	status, err := d.stat(name)
	if err != nil {
		return err
	}
	if status.Mode&unix.S_IFMT != unix.S_IFREG {
		return failed("link", d.join(name), errNotRegular)
	}
	return failed("link", to.join(target), unix.Linkat(d.fd, name, to.fd, target, 0))
}
