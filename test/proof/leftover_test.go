package proof_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// awaitUnlocked waits until nobody holds the locks: the dumping program of a killed run inherits them, and
// ends when it writes into the broken pipe.
func (s *site) awaitUnlocked(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		locked := ""
		for _, path := range s.locks() {
			if held(t, path) {
				locked = path
			}
		}
		if locked == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is still held by %v", locked, s.holders(t))
		}
	}
}

// locks are those of the site, of its backups and of their copies.
func (s *site) locks() []string {
	return []string{
		filepath.Join(s.state(), "locks", "lms.lock"), filepath.Join(s.backups(), "lms", ".lock"),
		filepath.Join(s.state(), "locks", "copy", "lms.lock"), filepath.Join(s.backups(), "lms", "offsite", ".lock"),
	}
}

func held(t *testing.T, path string) bool {
	t.Helper()
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	must(t, err)
	defer file.Close()
	return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil
}

// nothingLeftOver: no unfinished work, temporary file or process.
func (s *site) nothingLeftOver(t *testing.T) {
	t.Helper()
	for _, dir := range []string{s.backups(), s.state(), s.tmp()} {
		must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			name := entry.Name()
			temporary := strings.HasPrefix(name, ".") && name != ".lock" || dir == s.tmp() && path != dir
			if err == nil && temporary {
				t.Errorf("left over: %s", path)
			}
			return err
		}))
	}
	// What somebody else of this machine looks through in passing is not ours, and he goes on.
	holders := s.holders(t)
	for deadline := time.Now().Add(30 * time.Second); len(holders) > 0 && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		holders = s.holders(t)
	}
	if len(holders) > 0 {
		t.Errorf("left over: processes with open files in %s: %v", s.dir, holders)
	}
}

// holders are the processes that have a file of the backups or the state open.
func (s *site) holders(t *testing.T) (found []string) {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	must(t, err)
	for _, link := range links {
		target, err := os.Readlink(link)
		if err == nil && (strings.HasPrefix(target, s.backups()) || strings.HasPrefix(target, s.state())) {
			command, _ := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(link)), "cmdline"))
			found = append(found, strings.ReplaceAll(string(command), "\x00", " ")+"("+target+")")
		}
	}
	return found
}
