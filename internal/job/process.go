package job

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// bootID tells this boot of the host from every other.
func bootID(procRoot string) (string, error) {
	content, err := os.ReadFile(filepath.Join(procRoot, "sys/kernel/random/boot_id")) //nolint:gosec // below /proc
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	return strings.TrimSpace(string(content)), nil
}

// processStart is the start time of a process in clock ticks since boot: field 22 of /proc/PID/stat. The
// second field is the program's name in parentheses and may hold anything, so fields count from its end.
func processStart(procRoot string, pid int) (uint64, error) {
	content, err := os.ReadFile(filepath.Join(procRoot, strconv.Itoa(pid), "stat")) //nolint:gosec // below /proc
	if err != nil {
		return 0, fmt.Errorf("read process %d: %w", pid, err)
	}
	fields := strings.Fields(string(content[bytes.LastIndexByte(content, ')')+1:]))
	const startField = 22 - 3 // the first field after the name is the third
	if len(fields) <= startField {
		return 0, fmt.Errorf("read process %d: %d fields in stat", pid, len(fields))
	}
	if fields[0] == "Z" {
		return 0, fmt.Errorf("read process %d: it has ended, and nobody has fetched its status", pid)
	}
	return strconv.ParseUint(fields[startField], 10, 64)
}
