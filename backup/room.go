package backup

import (
	"fmt"
	"strconv"
	"syscall"
)

// free is the room on a file system. Bytes and inodes are those that this process may use.
type free struct {
	bytes, size    int64
	inodes, inodeN int64 // inodeN is 0 where inodes are made as needed
}

func freeOf(path string) (free, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return free{}, fmt.Errorf("look at the room in %s: %w", path, err)
	}
	return free{
		bytes: int64(s.Bavail) * s.Bsize, size: int64(s.Blocks) * s.Bsize, //nolint:gosec // no disk has 2^63 bytes
		inodes: int64(s.Ffree), inodeN: int64(s.Files), //nolint:gosec // as above
	}, nil
}

// keptFree is the share of a disk that a backup leaves free.
const keptFree = 10 // percent

// checkRoom refuses a backup that would fill the disk it goes to.
func checkRoom(dir string, room free, bytes, inodes int64) error {
	refuse := func(what, need, have string) error {
		return &RefusedError{
			Happened: fmt.Sprintf("the disk of the backup directory %s has too few %s: this backup needs about %s, and %s may be used", dir, what, need, have),
			Means:    fmt.Sprintf("%d %% of it are kept free, because a full disk stops everything else on it", keptFree),
			Do:       "make room, shorten backup.keep, or move backup.dir to a larger disk",
		}
	}
	if usable := room.bytes - room.size/100*keptFree; bytes > usable {
		return refuse("bytes", Bytes(bytes), Bytes(max(0, usable)))
	}
	if usable := room.inodes - room.inodeN/100*keptFree; room.inodeN > 0 && inodes > usable {
		return refuse("inodes", strconv.FormatInt(inodes, 10), strconv.FormatInt(max(0, usable), 10))
	}
	return nil
}

// Bytes writes a number of bytes for people, with powers of 1024.
func Bytes(n int64) string {
	value, unit := float64(n), 0
	for value >= 1024 && unit < 5 {
		value, unit = value/1024, unit+1
	}
	if unit == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %ciB", value, " KMGTP"[unit])
}
