package maintenance

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// openFiles are the regular files that any process holds open, runs or has mapped, by what they are: their names differ
// from one mount namespace to another. Processes that end meanwhile have let go.
func openFiles(procRoot string) (map[inode]bool, error) {
	processes, err := os.ReadDir(procRoot)
	if err != nil {
		return nil, fmt.Errorf("look for open files: %w", err)
	}
	used := map[inode]bool{}
	for _, process := range processes {
		if _, err := strconv.Atoi(process.Name()); err != nil {
			continue
		}
		dir := filepath.Join(procRoot, process.Name())
		note(used, filepath.Join(dir, "exe"))
		for _, kind := range []string{"fd", "map_files"} {
			names, err := os.ReadDir(filepath.Join(dir, kind))
			if err != nil {
				continue // it has ended, or is a kernel thread
			}
			for _, name := range names {
				note(used, filepath.Join(dir, kind, name.Name()))
			}
		}
	}
	return used, nil
}

// note adds the file that a link of /proc stands for. AT_STATX_DONT_SYNC keeps it from asking the server of a share that
// may be dead.
func note(used map[inode]bool, link string) {
	var status unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, link, unix.AT_STATX_DONT_SYNC|unix.AT_NO_AUTOMOUNT, unix.STATX_TYPE|unix.STATX_INO, &status)
	if err == nil && status.Mode&unix.S_IFMT == unix.S_IFREG {
		used[inode{unix.Mkdev(status.Dev_major, status.Dev_minor), status.Ino}] = true
	}
}
