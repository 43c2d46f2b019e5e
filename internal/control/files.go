package control

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"syscall"

	"github.com/moodle-exporter/moodle-exporter/internal/command"
)

func exists(root *os.Root, name string) (bool, error) {
	_, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

const pageLimit = 1 << 20

// readFile reads a small regular file of a tree that belongs to others.
func readFile(root *os.Root, name string) ([]byte, error) {
	// Without O_NONBLOCK the opening of a FIFO would wait for a writer who never comes.
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > pageLimit {
		return nil, fmt.Errorf("%s is no regular file of less than %d bytes", name, pageLimit)
	}
	return io.ReadAll(io.LimitReader(file, pageLimit))
}

// groupOf is the group of a directory with the set-group-id bit, else that of the user.
func groupOf(dir fs.FileInfo, user *command.User) uint32 {
	if status, ok := dir.Sys().(*syscall.Stat_t); ok && dir.Mode()&fs.ModeSetgid != 0 {
		return status.Gid
	}
	return user.GID
}

// writeOwned writes a file anew, gives it away and flushes it to disk.
func writeOwned(root *os.Root, name string, content []byte, user *command.User, group uint32, mode fs.FileMode) error {
	if err := root.RemoveAll(name); err != nil {
		return err
	}
	file, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil && os.Geteuid() == 0 {
		err = file.Chown(int(user.UID), int(group))
	}
	if err == nil {
		err = file.Chmod(mode)
	}
	if err == nil {
		err = file.Sync()
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("write %s (owner %s, mode %s): %w", name, user.Name, strconv.FormatUint(uint64(mode), 8), err)
	}
	return nil
}

// syncDir flushes what was renamed or removed in the root itself.
func syncDir(root *os.Root) error {
	dir, err := root.Open(".")
	if err != nil {
		return err
	}
	defer func() { _ = dir.Close() }()
	return dir.Sync()
}
