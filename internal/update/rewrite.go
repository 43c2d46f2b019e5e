package update

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup/tree"
)

// Bounds of a tree of code. Moodle with many plugins has 60,000 files and 700 MB, and a whole history 1 GB.
const (
	maxTree    = 16 << 30 // bytes
	maxEntries = 2_000_000
)

// likeness is whom new code belongs to and who may do what with it: as with the old.
type likeness struct {
	uid, gid  int
	file, dir int64 // modes as in stat(2)
}

// likenessOf takes a file of the live code for an example.
func likenessOf(live *os.Root) (l likeness, err error) {
	for _, example := range []struct {
		name string
		mode *int64
		keep uint32
	}{{"lib", &l.dir, 0o2775}, {"lib/setup.php", &l.file, 0o664}} {
		info, err := live.Stat(example.name)
		if err != nil {
			return l, err
		}
		status, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return l, errors.New("owners of files are not known on this system")
		}
		l.uid, l.gid = int(status.Uid), int(status.Gid)
		*example.mode = int64(status.Mode & example.keep)
	}
	return l, nil
}

// put lets write make an archive, and extracts it into root: everything comes by the one way that no archive can lead
// astray.
func put(ctx context.Context, root *os.Root, write func(*tar.Writer) error) error {
	reader, writer := io.Pipe()
	written := make(chan error, 1)
	go func() {
		archive := tar.NewWriter(writer)
		err := write(archive)
		if err == nil {
			err = archive.Close()
		}
		_ = writer.CloseWithError(err) // nil is the end
		written <- err
	}()
	_, err := tree.Extract(ctx, reader, root, tree.ExtractOptions{MaxBytes: maxTree, MaxEntries: maxEntries})
	_ = reader.CloseWithError(errStopped)
	if failed := <-written; failed != nil && !errors.Is(failed, errStopped) {
		return failed
	}
	return err
}

var errStopped = errors.New("nobody wants the rest of the archive")

// rewriter passes entries of an archive on with owner and mode of the live code. What kind of entry may be there, and
// where, is for the extraction to judge.
type rewriter struct {
	to     *tar.Writer
	like   likeness
	strip  bool   // the archive holds one directory with all in it
	prefix string // goes before each name
	top    string // that directory
	skip   func(name string) bool
}

// name is that of an entry in the new tree.
func (w *rewriter) name(written string) (string, error) {
	name := strings.TrimPrefix(strings.TrimSuffix(written, "/"), "./")
	if w.strip {
		top, rest, _ := strings.Cut(name, "/")
		if w.top == "" {
			w.top = top
		}
		if top != w.top || top == "" || top == ".." {
			return "", fmt.Errorf("the archive holds %q beside the directory %q: a release or plugin is one directory", written, w.top)
		}
		name = rest
	}
	if name == "" {
		name = "."
	}
	if w.prefix == "" {
		return name, nil
	}
	// Only for a clean name: path.Join must not make a harmless one of another.
	if name != "." && (name != path.Clean(name) || strings.HasPrefix(name, "../") || strings.HasPrefix(name, "/") || name == "..") {
		return "", fmt.Errorf("the archive holds %q: that is no path in it", written)
	}
	return path.Join(w.prefix, name), nil
}

func (w *rewriter) header(name string, kind byte, size int64, executable bool, modified time.Time) *tar.Header {
	h := &tar.Header{Typeflag: kind, Name: name, Size: size, Mode: w.like.file, Uid: w.like.uid, Gid: w.like.gid, ModTime: modified.Truncate(time.Second), Format: tar.FormatPAX}
	switch {
	case kind == tar.TypeDir:
		h.Name, h.Mode = name+"/", w.like.dir
	case executable:
		h.Mode |= w.like.file & 0o444 >> 2 // for those who may read it
	}
	return h
}

func (w *rewriter) tar(ctx context.Context, from io.Reader) error {
	archive := tar.NewReader(from)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return ctx.Err()
		}
		if err != nil {
			return fmt.Errorf("read the archive: %w", err)
		}
		if header.Typeflag == tar.TypeXGlobalHeader || ctx.Err() != nil {
			continue
		}
		name, err := w.name(header.Name)
		if err != nil {
			return err
		}
		if w.skip != nil && w.skip(name) {
			continue
		}
		h := w.header(name, header.Typeflag, header.Size, header.Mode&0o111 != 0, header.ModTime)
		if h.Linkname = header.Linkname; header.Typeflag == tar.TypeLink {
			if h.Linkname, err = w.name(header.Linkname); err != nil {
				return err
			}
		}
		if err := w.to.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(w.to, archive); err != nil { //nolint:gosec // the extraction bounds it
			return err
		}
	}
}
