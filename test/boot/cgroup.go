package boot

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const cgroupPrefix = "moodle-exporter-boot-"

// hierarchies returns the mount points of the cgroup trees that systemd keeps its units in:
// version 2, and version 1's named one where the host still has it.
func hierarchies(mountinfo string) ([]string, error) {
	content, err := os.ReadFile(mountinfo)
	if err != nil {
		return nil, fmt.Errorf("find cgroups: %w", err)
	}
	var found []string
	for line := range strings.Lines(string(content)) {
		left, right, _ := strings.Cut(strings.TrimSpace(line), " - ")
		fields := strings.Fields(left)
		if len(fields) < 5 {
			continue
		}
		if strings.HasPrefix(right, "cgroup2 ") || strings.HasPrefix(right, "cgroup ") && strings.Contains(right, "name=systemd") {
			found = append(found, fields[4])
		}
	}
	if len(found) == 0 {
		return nil, errors.New("find cgroups: neither version 2 nor systemd's tree is mounted")
	}
	return found, nil
}

// makeCgroups makes a cgroup of the same name in each hierarchy; the machine's units are made below it.
func makeCgroups() ([]string, error) {
	roots, err := hierarchies("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	sweep(roots)
	name := fmt.Sprintf("%s%d-%d", cgroupPrefix, os.Getpid(), time.Now().UnixNano())
	var made []string
	for _, root := range roots {
		dir := filepath.Join(root, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			removeCgroups(made)
			return nil, fmt.Errorf("make a cgroup for the machine: %w", err)
		}
		made = append(made, dir)
	}
	return made, nil
}

// sweep removes the cgroups of a test that is gone, if the guard was killed as well.
func sweep(roots []string) {
	for _, root := range roots {
		left, _ := filepath.Glob(filepath.Join(root, cgroupPrefix+"*"))
		for _, dir := range left {
			pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(dir), cgroupPrefix), "-")
			if _, err := os.Stat(filepath.Join("/proc", pid)); err != nil {
				removeCgroups([]string{dir})
			}
		}
	}
}

// removeCgroups removes those of the trees that are empty; the kernel refuses the others.
func removeCgroups(dirs []string) {
	for _, dir := range dirs {
		below, _ := filepath.Glob(filepath.Join(dir, "*"))
		for _, entry := range below {
			if info, err := os.Lstat(entry); err == nil && info.IsDir() {
				removeCgroups([]string{entry})
			}
		}
		_ = syscall.Rmdir(dir)
	}
}
