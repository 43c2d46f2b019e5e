package drill

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// removeLeft removes what a drill of the site that was killed has left behind. One that is at work, with locks of its own
// elsewhere, holds its directory.
func removeLeft(scratch, site string) {
	left, _ := filepath.Glob(filepath.Join(scratch, prefixOf(site)+"*"))
	for _, dir := range left {
		held, err := hold(dir)
		if err != nil {
			continue
		}
		_ = os.RemoveAll(dir) // what cannot be removed takes room, and the check of that says so
		_ = held.Close()
	}
}

// hold keeps others from removing a directory, until it is closed or this process ends.
func hold(dir string) (*os.File, error) {
	held, err := os.Open(dir) //nolint:gosec // one of ours
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(held.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = held.Close()
		return nil, err
	}
	return held, nil
}

const (
	endPoll = 50 * time.Millisecond
	// endGrace is how long a server that nobody needs may take to end.
	endGrace = 10 * time.Second
)

// EndLeft ends the database server of a drill of the site that was killed: it lives on, and with it the lock that it has
// inherited. A server whose drill is at work is left alone. It says whether there was one.
func EndLeft(ctx context.Context, proc, scratch, site string) (bool, error) {
	began, found := time.Now(), false
	for {
		left, err := servers(proc, filepath.Join(scratch, prefixOf(site)))
		if err != nil || len(left) == 0 {
			return found, err
		}
		found = true
		signal := syscall.SIGTERM
		if time.Since(began) > endGrace {
			signal = syscall.SIGKILL
		}
		if time.Since(began) > 2*endGrace {
			return found, fmt.Errorf("the database server of a drill that was killed (process %d) cannot be ended", left[0])
		}
		for _, pid := range left {
			if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
				return found, fmt.Errorf("end the database server of a drill that was killed: %w", err)
			}
		}
		select {
		case <-ctx.Done():
			return found, ctx.Err()
		case <-time.After(endPoll):
		}
	}
}

// servers are the processes with a data directory that begins so, whose parent is no drill any more.
func servers(proc, prefix string) (pids []int, err error) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, fmt.Errorf("look for servers of drills: %w", err)
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		line, err := os.ReadFile(filepath.Join(proc, entry.Name(), "cmdline")) //nolint:gosec // the kernel's own
		// Anybody can give himself such an argument; all that he gets by it is the end of his own process.
		if err != nil || !bytes.Contains(line, []byte("\x00--datadir="+prefix)) {
			continue
		}
		if !supervised(proc, entry.Name()) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// supervised says whether the parent of a process is this program.
func supervised(proc, pid string) bool {
	stat, err := os.ReadFile(filepath.Join(proc, pid, "stat")) //nolint:gosec // the kernel's own
	if err != nil {
		return true // it has just ended
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 2 {
		return true
	}
	own, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return true
	}
	parent, err := os.Readlink(filepath.Join(proc, fields[1], "exe"))
	return err == nil && strings.TrimSuffix(parent, " (deleted)") == strings.TrimSuffix(own, " (deleted)")
}
