package job

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// Priority is how far a job makes way for the site beside it.
type Priority struct {
	Nice int    // as in nice(1): 0 changes nothing, 19 makes way for everybody
	IO   string // as in ionice(1): idle, best-effort (its lowest level), none to change nothing
}

// Numbers of linux/ioprio.h: an I/O priority is a class, shifted, and a level within it.
const (
	ioWhoProcess = 1
	ioClassShift = 13
	ioBestEffort = 2
	ioIdle       = 3
)

var ioPriorities = map[string]uintptr{"best-effort": ioBestEffort<<ioClassShift | 7, "idle": ioIdle << ioClassShift}

// Take lowers the priority of this process and of all that it starts from now on; it never raises one.
func (p Priority) Take(procRoot string) error {
	// Linux keeps priorities for each thread. New ones have that of their maker, so we go on until there is
	// none that we have not seen.
	seen := map[int]bool{}
	for fresh := true; fresh; {
		fresh = false
		tasks, err := os.ReadDir(filepath.Join(procRoot, "self/task"))
		if err != nil {
			return fmt.Errorf("lower the priority: %w", err)
		}
		for _, task := range tasks {
			id, err := strconv.Atoi(task.Name())
			if err != nil || seen[id] {
				continue
			}
			seen[id], fresh = true, true
			if err := p.lower(id); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("lower the priority: %w", err)
			}
		}
	}
	return nil
}

func (p Priority) lower(thread int) error {
	now, err := unix.Getpriority(unix.PRIO_PROCESS, thread)
	if nice := 20 - now; err == nil && nice < p.Nice { // the system call's own way of giving it
		err = unix.Setpriority(unix.PRIO_PROCESS, thread, p.Nice)
	}
	wanted, known := ioPriorities[p.IO]
	if err != nil || !known {
		return err
	}
	is, _, failed := unix.Syscall(unix.SYS_IOPRIO_GET, ioWhoProcess, uintptr(thread), 0)
	if failed == 0 && is < wanted {
		_, _, failed = unix.Syscall(unix.SYS_IOPRIO_SET, ioWhoProcess, uintptr(thread), wanted)
	}
	if failed != 0 {
		return failed
	}
	return nil
}
