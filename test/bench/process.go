package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// process is what the kernel keeps about a process and all that it has ever started.
type process struct {
	cpu         float64 // seconds
	rss         int64   // bytes
	descriptors int
	threads     int
	// children counts the living children. childFaults is what the kernel adds to a process's account when it waits for
	// a child that has ended: the page faults of the child, of which no program has none.
	children, childFaults int64
}

// readProcess reads /proc/PID: see proc(5).
func readProcess(pid int) (p process, err error) {
	root := filepath.Join("/proc", strconv.Itoa(pid))
	content, err := os.ReadFile(filepath.Join(root, "stat"))
	if err != nil {
		return p, fmt.Errorf("read what the kernel says of process %d: %w", pid, err)
	}
	fields := bytes.Fields(content[bytes.LastIndexByte(content, ')')+1:]) // from field 3 on
	field := func(n int) int64 {
		value, _ := strconv.ParseInt(string(fields[n-3]), 10, 64)
		return value
	}
	const ticks = 100 // USER_HZ, fixed on Linux
	p.cpu = float64(field(14)+field(15)) / ticks
	p.childFaults = field(11) + field(13)
	p.threads, p.rss = int(field(20)), field(24)*int64(os.Getpagesize())
	entries, err := os.ReadDir(filepath.Join(root, "fd"))
	if err != nil {
		return p, fmt.Errorf("count the files of process %d: %w", pid, err)
	}
	p.descriptors = len(entries)
	threads, err := filepath.Glob(filepath.Join(root, "task", "*", "children"))
	for _, path := range threads {
		children, _ := os.ReadFile(path)
		p.children += int64(len(strings.Fields(string(children))))
	}
	return p, err
}
