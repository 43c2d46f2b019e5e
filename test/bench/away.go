package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// putAway takes something out of the way, and keeps it on the disk until the host goes. ext4 does not use the inodes of
// what was just deleted for some minutes, and searches past them for each new file: whoever came next would pay for that.
// Its memory is given back, as a deletion does.
func (h *host) putAway(path string) error {
	gone := filepath.Join(h.dir, "gone")
	if err := os.MkdirAll(gone, 0o700); err != nil {
		return err
	}
	h.away++
	to := filepath.Join(gone, strconv.Itoa(h.away))
	if err := os.Rename(path, to); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	if err := h.flush(); err != nil { // only what is on the disk can leave the memory
		return err
	}
	return filepath.WalkDir(to, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		return forget(path)
	})
}

// forget lets the kernel drop what it holds of a file in memory.
func forget(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	if err := unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil {
		return fmt.Errorf("drop %s from memory: %w", path, err)
	}
	return nil
}
