package update

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
)

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
