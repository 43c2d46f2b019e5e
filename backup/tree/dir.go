package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

// dir is an open directory. All its methods take the name of one entry, never a path, and follow no link.
type dir struct {
	fd   int
	path string // for messages
}

var errNotDirectory = errors.New("is a link or a file where a directory is expected")

const openDirectory = unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC

// again repeats a system call that a signal has interrupted, as happens on network file systems.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func failed(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: path, Err: err}
}

// top opens the directory of a root.
func top(root *os.Root) (dir, error) {
	file, err := root.Open(".")
	if err != nil {
		return dir{}, err
	}
	defer file.Close()
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	return dir{fd: fd, path: root.Name()}, failed("open", root.Name(), err)
}

// absolute opens a directory by a path without links.
func absolute(path string) (dir, error) {
	if !strings.HasPrefix(path, "/") {
		return dir{}, failed("open", path, unix.EINVAL)
	}
	fd, err := unix.Open("/", openDirectory, 0)
	if err != nil {
		return dir{}, failed("open", "/", err)
	}
	root := dir{fd: fd, path: ""}
	defer root.close()
	return root.walk(strings.Trim(path, "/"))
}

func (d dir) close() { _ = unix.Close(d.fd) }

func (d dir) join(name string) string { return d.path + "/" + name }

// sub opens a directory in d.
func (d dir) sub(name string) (dir, error) {
	var fd int
	err := again(func() (err error) {
		fd, err = unix.Openat(d.fd, name, openDirectory, 0)
		return err
	})
	if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		err = errNotDirectory
	}
	return dir{fd: fd, path: d.join(name)}, failed("open", d.join(name), err)
}

// walk opens a directory below d, or d itself anew if path is "" or ".".
func (d dir) walk(path string) (dir, error) {
	fd, err := unix.FcntlInt(uintptr(d.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return dir{}, failed("open", d.path, err)
	}
	at := dir{fd: fd, path: d.path}
	for _, name := range parts(path) {
		next, err := at.sub(name)
		at.close()
		if err != nil {
			return dir{}, err
		}
		at = next
	}
	return at, nil
}

// parts are the names that a path consists of.
func parts(path string) []string {
	if path == "" || path == "." {
		return nil
	}
	return strings.Split(path, "/")
}

// split divides a path into that of its directory and its last name.
func split(path string) (parent, name string) {
	if slash := strings.LastIndexByte(path, '/'); slash >= 0 {
		return path[:slash], path[slash+1:]
	}
	return "", path
}

func (d dir) stat(name string) (status unix.Stat_t, err error) {
	err = again(func() error { return unix.Fstatat(d.fd, name, &status, unix.AT_SYMLINK_NOFOLLOW) })
	return status, failed("lstat", d.join(name), err)
}

// self describes d.
func (d dir) self() (status unix.Stat_t, err error) {
	err = again(func() error { return unix.Fstat(d.fd, &status) })
	return status, failed("stat", d.path, err)
}

func (d dir) mkdir(name string, mode uint32) error {
	return failed("mkdir", d.join(name), again(func() error { return unix.Mkdirat(d.fd, name, mode) }))
}

// open opens a file for reading. A pipe does not block, and nothing else does later.
func (d dir) open(name string) (*os.File, error) {
	return d.openWith(name, unix.O_RDONLY|unix.O_NONBLOCK)
}

// create makes a file, which must not be there, and opens it.
func (d dir) create(name string) (*os.File, error) {
	return d.openWith(name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL)
}

func (d dir) openWith(name string, flags int) (*os.File, error) {
	var fd int
	err := again(func() (err error) {
		fd, err = unix.Openat(d.fd, name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		return err
	})
	if err != nil {
		return nil, failed("open", d.join(name), err)
	}
	if flags&unix.O_NONBLOCK != 0 {
		_ = unix.SetNonblock(fd, false) // or os would try to wait for it
	}
	return os.NewFile(uintptr(fd), d.join(name)), nil
}

// names lists d in order.
func (d dir) names() ([]string, error) {
	file, err := d.open(".")
	if err != nil {
		return nil, err
	}
	defer file.Close()
	names, err := file.Readdirnames(-1)
	slices.Sort(names)
	return names, err
}

func (d dir) readlink(name string) (string, error) {
	buffer := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(d.fd, name, buffer)
	if err != nil {
		return "", failed("readlink", d.join(name), err)
	}
	return string(buffer[:n]), nil
}

// remove deletes a file or a link.
func (d dir) remove(name string) error {
	return failed("remove", d.join(name), again(func() error { return unix.Unlinkat(d.fd, name, 0) }))
}

func (d dir) rmdir(name string) error {
	return failed("rmdir", d.join(name), again(func() error { return unix.Unlinkat(d.fd, name, unix.AT_REMOVEDIR) }))
}

// own gives an entry its owner.
func (d dir) own(name string, uid, gid int) error {
	return failed("chown", d.join(name), again(func() error { return unix.Fchownat(d.fd, name, uid, gid, unix.AT_SYMLINK_NOFOLLOW) }))
}

// flush returns when the file system that d lies on has everything on the disk.
func (d dir) flush() error {
	if err := unix.Syncfs(d.fd); err != nil {
		return fmt.Errorf("flush %s: %w", d.path, err)
	}
	return nil
}

// leaveCache gives back the memory in which the kernel keeps a file that is on the disk: more may be restored
// than there is memory, and what the database and the site have in theirs shall stay.
func (d dir) leaveCache(name string) {
	if file, err := d.open(name); err == nil {
		_ = unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED) // a courtesy
		_ = file.Close()
	}
}

// sync returns when the names in d are on the disk.
func (d dir) sync() error {
	return failed("sync", d.path, again(func() error { return unix.Fsync(d.fd) }))
}

// makeAll opens a directory below d and makes what is missing of its path, closed to others if it is ours.
func (d dir) makeAll(path string) (dir, error) {
	at, err := d.walk("")
	for _, name := range parts(path) {
		if err != nil {
			return dir{}, err
		}
		var next dir
		if next, err = at.sub(name); errors.Is(err, fs.ErrNotExist) {
			mode := uint32(0o755)
			if strings.HasPrefix(name, store.Prefix) {
				mode = 0o700
			}
			if err = at.mkdir(name, mode); err == nil || errors.Is(err, fs.ErrExist) {
				next, err = at.sub(name)
			}
		}
		at.close()
		at = next
	}
	return at, err
}
