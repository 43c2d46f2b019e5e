package tree

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// attributes are what a directory gets once everything is in it.
type attributes struct {
	uid, gid int // -1: as it is
	mode     int64
	time     unix.Timespec
}

const asItIs = -1

// stack is the chain of open directories from the top of a tree to the one that is in hand. Archives go
// through a tree in depth, so that each directory is opened once and no more is kept than its ancestors.
type stack struct {
	mounts map[string]dir // directories that lie elsewhere
	open   []level
	// make makes directories that are missing; leaving is done to each that is left.
	make    bool
	leaving func(*level) error
}

type level struct {
	dir
	name  string // path in the tree, "." for the top
	later *attributes
	seen  map[string]struct{} // by a comparison; nil if the archive says nothing about the directory
}

func newStack(root *os.Root, mounts map[string]*os.Root, leaving func(*level) error) (*stack, error) {
	s := &stack{mounts: map[string]dir{}, leaving: leaving}
	at, err := top(root)
	if err != nil {
		return nil, err
	}
	s.open = append(s.open, level{dir: at, name: "."})
	for path, mount := range mounts {
		at, err := top(mount)
		if err != nil {
			s.close()
			return nil, err
		}
		s.mounts[path] = at
	}
	return s, nil
}

// close lets go of everything, whatever is still to be done to it.
func (s *stack) close() {
	for _, l := range s.open {
		l.close()
	}
	for _, d := range s.mounts {
		d.close()
	}
	s.open, s.mounts = nil, nil
}

// enter opens a directory, makes what is missing on the way, and finishes those that it leaves.
func (s *stack) enter(path string) (*level, error) {
	for len(s.open) > 1 && !holds(s.open[len(s.open)-1].name, path) {
		if err := s.leave(); err != nil {
			return nil, err
		}
	}
	at := &s.open[len(s.open)-1]
	if path == at.name {
		return at, nil
	}
	rest := path
	if at.name != "." {
		rest = path[len(at.name)+1:]
	}
	for _, name := range parts(rest) {
		next, err := s.step(at, name)
		if err != nil {
			return nil, err
		}
		s.open = append(s.open, next)
		at = &s.open[len(s.open)-1]
	}
	return at, nil
}

// holds says whether path is directory or lies below it.
func holds(directory, path string) bool {
	return directory == "." || path == directory || strings.HasPrefix(path, directory) && path[len(directory)] == '/'
}

func (s *stack) step(at *level, name string) (level, error) {
	path := name
	if at.name != "." {
		path = at.name + "/" + name
	}
	if at.seen != nil {
		at.seen[name] = struct{}{}
	}
	if elsewhere, mounted := s.mounts[path]; mounted {
		d, err := elsewhere.walk("")
		return level{dir: d, name: path}, err
	}
	d, err := at.sub(name)
	if err == nil {
		// It was left before: what is put into it now must not show in its time.
		status, err := d.self()
		return level{dir: d, name: path, later: &attributes{asItIs, asItIs, asItIs, status.Mtim}}, err
	}
	if !errors.Is(err, fs.ErrNotExist) || !s.make {
		return level{}, err
	}
	if err := at.mkdir(name, 0o700); err != nil {
		return level{}, err
	}
	d, err = at.sub(name)
	// A directory that the archive says nothing about is an ordinary one.
	return level{dir: d, name: path, later: &attributes{asItIs, asItIs, 0o755, unix.Timespec{Nsec: unix.UTIME_OMIT}}}, err
}

// leave finishes the innermost directory.
func (s *stack) leave() error {
	last := s.open[len(s.open)-1]
	s.open = s.open[:len(s.open)-1]
	defer last.close()
	return s.leaving(&last)
}

func (l *level) finish() error {
	if l.later == nil {
		return nil
	}
	if err := l.settle(l.later); err != nil {
		return err
	}
	return l.setTime(".", l.later.time)
}

// settle gives an open file or directory its owner and mode, in this order: a new owner ends setgid.
func (d dir) settle(a *attributes) error {
	if a.uid != asItIs || a.gid != asItIs {
		if err := unix.Fchown(d.fd, a.uid, a.gid); err != nil {
			return failed("chown", d.path, err)
		}
	}
	if a.mode != asItIs {
		return failed("chmod", d.path, unix.Fchmod(d.fd, uint32(a.mode))) //nolint:gosec // twelve bits
	}
	return nil
}

// finish leaves everything but the top open.
func (s *stack) finish() error {
	for len(s.open) > 1 {
		if err := s.leave(); err != nil {
			return err
		}
	}
	return s.leaving(&s.open[0])
}

// flush returns when everything is on the disk.
func (s *stack) flush() error {
	for _, mount := range s.mounts {
		if err := mount.flush(); err != nil {
			return err
		}
	}
	return s.open[0].flush()
}

// locate opens the directory of an existing path and gives the last name of it.
func (s *stack) locate(path string) (dir, string, error) {
	from, rest := s.open[0].dir, path
	for mount, d := range s.mounts {
		// Mounts within mounts: the innermost one counts.
		if path != mount && holds(mount, path) && len(path)-len(mount)-1 < len(rest) {
			from, rest = d, path[len(mount)+1:]
		}
	}
	parent, name := split(rest)
	d, err := from.walk(parent)
	return d, name, err
}
