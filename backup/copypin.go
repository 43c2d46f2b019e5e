package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

// errPinned is a backup that somebody reads; it stays for that reason.
var errPinned = errors.New("it is being copied or read")

// Pin keeps a backup from being removed while it is read without the site's lock, by a copy to another
// place for example: prune leaves it alone. It is a shared flock on the manifest, and so ends with the
// process at the latest.
type Pin struct{ file *os.File }

// PinBackup pins a backup. ErrNoSuchBackup if there is none, or none any more.
func PinBackup(s store.Local, id string) (*Pin, error) {
	p, err := flockManifest(s, id, os.O_RDONLY, unix.LOCK_SH)
	if errors.Is(err, errPinned) || errors.Is(err, fs.ErrNotExist) { // whoever locks it alone is removing it
		return nil, fmt.Errorf("%w: %s", ErrNoSuchBackup, id)
	}
	if err != nil {
		return nil, fmt.Errorf("pin backup %s: %w", id, err)
	}
	return p, nil
}

// Close lets the backup go. A nil pin is none.
func (p *Pin) Close() {
	if p != nil {
		_ = p.file.Close()
	}
}

// claim makes sure that nobody reads a backup, until it has been removed. errPinned if somebody does.
func claim(s store.Local, id string) (*Pin, error) {
	// An exclusive lock wants a file that is open for writing where the directory is an NFS share.
	return flockManifest(s, id, os.O_RDWR, unix.LOCK_EX)
}

func flockManifest(s store.Local, id string, mode, how int) (*Pin, error) {
	name := s.Path(path.Join(id, manifestName))
	file, err := os.OpenFile(name, mode|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0) //nolint:gosec // a path of ours
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(file.Fd()), how|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = errPinned
	}
	if err == nil {
		err = stillThere(file, name)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &Pin{file}, nil
}

// stillThere makes sure that the backup was not removed between opening and locking.
func stillThere(file *os.File, name string) error {
	opened, err := file.Stat()
	if err != nil {
		return err
	}
	now, err := os.Lstat(name)
	if err != nil {
		return err
	}
	if !os.SameFile(opened, now) {
		return fs.ErrNotExist
	}
	return nil
}
