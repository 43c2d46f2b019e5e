package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Space is what a file system has. Sizes are in bytes; Free is what ordinary users can have.
type Space struct {
	Free, Total int64
	FreeFiles   int64 // inodes; -1 where the file system makes them as it needs them
	Device      uint64
	ReadOnly    bool
}

// SpaceAt looks at the file system that path lies on, or will lie on if it does not exist yet.
func SpaceAt(path string) (Space, error) {
	var status unix.Stat_t
	var system unix.Statfs_t
	for {
		err := errors.Join(again(func() error { return unix.Stat(path, &status) }), again(func() error { return unix.Statfs(path, &system) }))
		if err == nil {
			break
		}
		if parent := filepath.Dir(path); errors.Is(err, fs.ErrNotExist) && parent != path {
			path = parent
			continue
		}
		return Space{}, fmt.Errorf("look for space at %s: %w", path, err)
	}
	s := Space{
		Free: int64(system.Bavail) * system.Frsize, Total: int64(system.Blocks) * system.Frsize, //nolint:gosec // sizes of disks
		FreeFiles: int64(system.Ffree), Device: status.Dev, ReadOnly: system.Flags&unix.ST_RDONLY != 0, //nolint:gosec // as above
	}
	if system.Files == 0 {
		s.FreeFiles = -1
	}
	return s, nil
}

// Mounts are the mount points at and below a directory, in order. The directory is named without links.
func Mounts(directory string) ([]string, error) {
	content, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("look for mount points: %w", err)
	}
	return mountsIn(string(content), filepath.Clean(directory)), nil
}

// mountsIn reads what proc(5) describes: the fifth field is the mount point.
func mountsIn(mountinfo, directory string) []string {
	var found []string
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		if len(fields) < 5 {
			continue
		}
		if point := unescape(fields[4]); directory == "/" || holds(directory, point) {
			found = append(found, point)
		}
	}
	slices.Sort(found)
	return slices.Compact(found) // what is mounted over a mount is at the same place
}

// unescape undoes \040 and the like, by which blanks and line breaks are written.
func unescape(field string) string {
	var plain strings.Builder
	for i := 0; i < len(field); i++ {
		if field[i] == '\\' && i+3 < len(field) {
			if code, err := strconv.ParseUint(field[i+1:i+4], 8, 8); err == nil {
				plain.WriteByte(byte(code))
				i += 3
				continue
			}
		}
		plain.WriteByte(field[i])
	}
	return plain.String()
}

// mountID tells mounts apart also where one file system is mounted twice; before Linux 5.8 only file systems.
func (d dir) mountID() (uint64, error) {
	var status unix.Statx_t
	err := again(func() error { return unix.Statx(d.fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &status) })
	if err == nil && status.Mask&unix.STATX_MNT_ID != 0 {
		return status.Mnt_id, nil
	}
	plain, err := d.self()
	return plain.Dev, err
}

// fixed says whether an entry (or d itself, if name is empty) is immutable or can only be added to.
func (d dir) fixed(name string) bool {
	var status unix.Statx_t
	err := again(func() error { return unix.Statx(d.fd, name, unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW, 0, &status) })
	return err == nil && status.Attributes&(unix.STATX_ATTR_IMMUTABLE|unix.STATX_ATTR_APPEND) != 0
}
