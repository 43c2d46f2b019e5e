package backup

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// directory is an open directory, read by system calls alone. A walk opens one for nearly each content file,
// and package os tries for each of them whether it can be polled, which a directory never can.
type directory struct {
	fd   int
	file *os.File // that the descriptor belongs to, if it has one
}

// openDirectory opens the directory name in the directory at, which is the tree's own or one that was opened
// in this way: a single name that is not followed if it is a link cannot lead out of the tree. A link is
// left to os.Root, which follows it within the tree; path is where it lies there.
func (t *tree) openDirectory(at int, name, path string) (*directory, error) {
	for {
		fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		switch {
		case err == nil:
			return &directory{fd: fd}, nil
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.ENOTDIR):
			return nil, &fs.PathError{Op: "open", Path: path, Err: err}
		}
		file, err := t.root.OpenFile(path, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
		if err != nil {
			return nil, err
		}
		return &directory{int(file.Fd()), file}, nil
	}
}

func (d *directory) close() {
	switch {
	case d == nil:
	case d.file != nil:
		_ = d.file.Close()
	default:
		_ = unix.Close(d.fd)
	}
}

// names are those of all entries, in the order of the file system.
func (d *directory) names() (names []string, err error) {
	var buffer [8 << 10]byte
	for {
		n, err := unix.ReadDirent(d.fd, buffer[:])
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return nil, err
		case n <= 0:
			return names, nil
		default:
			_, _, names = unix.ParseDirent(buffer[:n], -1, names)
		}
	}
}
