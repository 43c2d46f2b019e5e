package collector

import (
	"errors"
	"sync"

	"golang.org/x/sys/unix"
)

// statfsCall is one statfs under way. answer and err are valid when done is closed.
type statfsCall struct {
	done   chan struct{}
	answer unix.Statfs_t
	err    error
}

// statfsCalls asks mounts in goroutines of their own. The kernel may keep such a call for ever, and a thread with it;
// so there is at most one for each mount, and it ends with the mount.
type statfsCalls struct {
	statfs func(path string) (unix.Statfs_t, error)

	mu      sync.Mutex
	pending map[int]*statfsCall
}

// ask starts a call for the mount, or returns nil if an earlier one is still out.
func (s *statfsCalls) ask(m mount) *statfsCall {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending[m.id] != nil {
		return nil
	}
	call := &statfsCall{done: make(chan struct{})}
	s.pending[m.id] = call
	go func() {
		for {
			call.answer, call.err = s.statfs(m.point)
			if !errors.Is(call.err, unix.EINTR) {
				break
			}
		}
		s.mu.Lock()
		delete(s.pending, m.id)
		s.mu.Unlock()
		close(call.done)
	}()
	return call
}

// Statfs is the statfs of the kernel.
func Statfs(path string) (answer unix.Statfs_t, err error) {
	err = unix.Statfs(path, &answer)
	return answer, err //nolint:wrapcheck // the caller knows the mount
}
