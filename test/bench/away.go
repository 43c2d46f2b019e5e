package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// putAway takes something out of the way, and keeps its names until the host goes. ext4 does not use the inodes of what
// was just deleted for some minutes, and searches past them for each new file: whoever came next would pay for that.
// Its memory and its place on the disk are given back, as a deletion does.
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
	err := filepath.WalkDir(to, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		return os.Truncate(path, 0)
	})
	return errors.Join(err, h.flush())
}
