package job

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// ErrLocked is another job at work on the same site.
var ErrLocked = errors.New("locked by another job")

// Lock is a held flock. It ends with the last process that inherited its file, so a child that outlives
// us still keeps others out.
type Lock struct{ files []*os.File }

// Acquire takes every lock file in turn, without waiting; the directories are made. ErrLocked if one is held.
func Acquire(paths ...string) (*Lock, error) {
	lock := &Lock{}
	for _, path := range paths {
		if err := lock.add(path); err != nil {
			lock.Release()
			return nil, err
		}
	}
	return lock, nil
}

func (l *Lock) add(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // holds nothing but empty lock files
		return fmt.Errorf("take lock %s: %w", path, err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600) //nolint:gosec // a path of ours
	if err != nil {
		return fmt.Errorf("take lock %s: %w", path, err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = file.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return fmt.Errorf("%w (%s)", ErrLocked, path)
		}
		return fmt.Errorf("take lock %s: %w", path, err)
	}
	l.files = append(l.files, file)
	return nil
}

// Files are handed to children that can change the site (command.Command.Files).
func (l *Lock) Files() []*os.File {
	if l == nil {
		return nil
	}
	return l.files
}

// Release gives the lock back. The files stay: removing one would let two jobs lock two files of one name.
func (l *Lock) Release() {
	if l == nil {
		return
	}
	for _, file := range l.files {
		_ = file.Close()
	}
	l.files = nil
}
