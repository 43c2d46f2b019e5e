package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// usage is what a program took, together with all that it started. The database server is not among them.
type usage struct {
	wall, cpu time.Duration
	rss       int64 // most memory of all these processes at one time, bytes; memory that they share counts for each
}

func measure(command *exec.Cmd) (usage, error) {
	start := time.Now()
	if err := command.Start(); err != nil {
		return usage{}, err
	}
	ended, peak := make(chan struct{}), make(chan int64)
	go func() {
		var rss int64
		for {
			rss = max(rss, memoryOf(command.Process.Pid, ""))
			select {
			case <-ended:
				peak <- rss
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	err := command.Wait()
	wall := time.Since(start)
	close(ended)
	if err != nil {
		err = fmt.Errorf("%v: %w", command.Args, err)
	}
	// The times of a process hold those of all children that it has waited for.
	return usage{wall: wall, cpu: command.ProcessState.UserTime() + command.ProcessState.SystemTime(), rss: <-peak}, err
}

// memoryOf is the most memory that each living process of a tree has had (VmHWM), summed up. Not ru_maxrss: that
// counts the memory of the program that a process was started from as well. For the same reason a child
// does not count as long as it runs its parent's program.
func memoryOf(pid int, parent string) (bytes int64) {
	root := filepath.Join("/proc", strconv.Itoa(pid))
	program, err := os.Readlink(filepath.Join(root, "exe"))
	if err != nil {
		return 0
	}
	if program != parent {
		bytes = peakOf(root)
	}
	threads, _ := filepath.Glob(filepath.Join(root, "task", "*", "children")) // the pattern is sound
	for _, path := range threads {
		children, _ := os.ReadFile(path) // a thread that has ended has none
		for _, child := range strings.Fields(string(children)) {
			if pid, err := strconv.Atoi(child); err == nil {
				bytes += memoryOf(pid, program)
			}
		}
	}
	return bytes
}

// peakOf is what the kernel says was the most memory of a process so far, 0 for one that has ended.
func peakOf(root string) int64 {
	status, err := os.ReadFile(filepath.Join(root, "status"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmHWM:" {
			kilobytes, _ := strconv.ParseInt(fields[1], 10, 64)
			return kilobytes << 10
		}
	}
	return 0
}
