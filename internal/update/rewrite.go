package update

import (
	"archive/tar"
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
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

func (w *rewriter) zip(ctx context.Context, file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	archive, err := zip.NewReader(file, info.Size())
	if err != nil {
		return fmt.Errorf("read %s: %w", file.Name(), err)
	}
	made := map[string]bool{}
	for _, entry := range archive.File {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.zipEntry(entry, made); err != nil {
			return err
		}
	}
	return nil
}

func (w *rewriter) zipEntry(entry *zip.File, made map[string]bool) error {
	name, err := w.name(entry.Name)
	if err != nil {
		return err
	}
	mode := entry.Mode()
	if !mode.IsDir() && !mode.IsRegular() {
		return fmt.Errorf("the archive holds %q, which is neither a file nor a directory", entry.Name)
	}
	if err := w.parents(name, made); err != nil {
		return err
	}
	if mode.IsDir() {
		return w.makeDir(name, made)
	}
	size := entry.UncompressedSize64
	if size > maxTree {
		return fmt.Errorf("the archive holds %q of %d bytes", entry.Name, size)
	}
	content, err := entry.Open()
	if err != nil {
		return err
	}
	defer content.Close()
	if err := w.to.WriteHeader(w.header(name, tar.TypeReg, int64(size), mode&0o111 != 0, entry.Modified)); err != nil { //nolint:gosec // bounded above
		return err
	}
	// Exactly as much as is announced; the reader compares the checksum at its end.
	if _, err := io.CopyN(w.to, content, int64(size)); err != nil { //nolint:gosec // bounded above
		return fmt.Errorf("read %q: %w", entry.Name, err)
	}
	if n, err := content.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		return fmt.Errorf("read %q: it is not what the archive says of it: %w", entry.Name, err)
	}
	return nil
}

// parents makes the directories that a zip file need not name.
func (w *rewriter) parents(name string, made map[string]bool) error {
	if name == "." || made[path.Dir(name)] {
		return nil
	}
	if dir := path.Dir(name); dir != "." {
		if err := w.parents(dir, made); err != nil {
			return err
		}
		return w.makeDir(dir, made)
	}
	return nil
}

func (w *rewriter) makeDir(name string, made map[string]bool) error {
	if made[name] {
		return nil
	}
	made[name] = true
	return w.to.WriteHeader(w.header(name, tar.TypeDir, 0, false, time.Unix(0, 0)))
}

// copyInto puts what lies at a path of a live tree, which belongs to others, into an archive under another path, as it is
// with owners and modes. Links stay links.
func copyInto(to *tar.Writer, live *os.Root, from, as string, skip func(path string) bool) error {
	info, err := live.Lstat(from)
	if err != nil {
		return err
	}
	if strings.HasPrefix(path.Base(from), stagingPrefix) || skip != nil && skip(from) {
		return nil
	}
	header, err := headerOf(live, from, as, info)
	if header == nil || err != nil {
		return err
	}
	if err := to.WriteHeader(header); err != nil {
		return err
	}
	if info.Mode().IsRegular() {
		return copyFile(to, live, from, info)
	}
	if !info.IsDir() {
		return nil
	}
	dir, err := live.Open(from)
	if err != nil {
		return err
	}
	names, err := dir.Readdirnames(-1)
	if err = errors.Join(err, dir.Close()); err != nil {
		return err
	}
	for _, name := range names {
		if err := copyInto(to, live, path.Join(from, name), path.Join(as, name), skip); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// headerOf is nil for sockets, pipes and devices, which are no code.
func headerOf(live *os.Root, from, as string, info fs.FileInfo) (*tar.Header, error) {
	status, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, errors.New("owners of files are not known on this system")
	}
	h := &tar.Header{Name: as, Uid: int(status.Uid), Gid: int(status.Gid), Mode: int64(status.Mode & 0o777), ModTime: info.ModTime(), Format: tar.FormatPAX}
	var err error
	switch mode := info.Mode(); {
	case mode.IsDir():
		h.Typeflag, h.Name, h.Mode = tar.TypeDir, as+"/", int64(status.Mode&0o3777)
	case mode.IsRegular():
		h.Typeflag, h.Size = tar.TypeReg, info.Size()
	case mode&fs.ModeSymlink != 0:
		h.Typeflag = tar.TypeSymlink
		h.Linkname, err = live.Readlink(from)
	default:
		return nil, nil
	}
	return h, err
}

func copyFile(to io.Writer, live *os.Root, name string, was fs.FileInfo) error {
	file, err := live.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return fmt.Errorf("%w: it was changed while it was copied", err)
	}
	defer file.Close()
	now, err := file.Stat()
	if err == nil && !os.SameFile(was, now) {
		err = fmt.Errorf("%s was changed while it was copied", name)
	}
	if err != nil {
		return err
	}
	if _, err := io.CopyN(to, file, was.Size()); err != nil {
		return fmt.Errorf("%s was changed while it was copied: %w", name, err)
	}
	return nil
}
