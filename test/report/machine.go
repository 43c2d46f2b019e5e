package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
)

// machine says what this one is, without its name.
func machine() (facts []string) {
	facts = append(facts, fmt.Sprintf("%d processors (%s)", runtime.NumCPU(), fact("/proc/cpuinfo", `(?m)^model name\s*: (.+)$`)),
		fact("/proc/meminfo", `(?m)^MemTotal:\s*(.+)$`)+" of memory",
		"Linux "+fact("/proc/sys/kernel/osrelease", `(.+)`),
		fact("/etc/os-release", `(?m)^PRETTY_NAME="(.+)"$`), runtime.Version())
	for _, program := range [][]string{{"mariadbd", "--version"}, {"php", "--version"}, {"restic", "version"}} {
		if said, err := exec.Command(program[0], program[1:]...).Output(); err == nil {
			line, _, _ := strings.Cut(string(said), "\n")
			facts = append(facts, strings.Join(strings.Fields(line)[:min(3, len(strings.Fields(line)))], " "))
		}
	}
	return facts
}

// fact is what a pattern finds in a file of the host.
func fact(path, pattern string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return "unknown"
	}
	if found := regexp.MustCompile(pattern).FindSubmatch(text); found != nil {
		return string(found[1])
	}
	return "unknown"
}
