package control

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/moodle-exporter/moodle-exporter/internal/command"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// procRoot is where the kernel tells of its processes.
const procRoot = "/proc"

// Worker is a process of this host that runs tasks of a site.
type Worker struct {
	PID    int
	Script string // admin/cli/cron.php
}

// workerScripts run tasks. Only cron.php obeys maintenance mode when it starts.
var workerScripts = []string{"admin/cli/cron.php", "admin/cli/adhoc_task.php", "admin/cli/scheduled_task.php"}

// Workers are the processes of the site's user that run tasks of this site: their script lies in its code. A process
// that has just ended, or whom we may not look at, is none.
func Workers(proc string, site *moodle.Site) ([]Worker, error) {
	user, err := command.SiteUser(site.User)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, fmt.Errorf("look for cron processes: %w", err)
	}
	var found []Worker
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if script := workerScript(filepath.Join(proc, entry.Name()), site, user); script != "" {
			found = append(found, Worker{PID: pid, Script: script})
		}
	}
	return found, nil
}

// workerScript is the script that a process runs, if it is one of the site's.
func workerScript(process string, site *moodle.Site, user *command.User) string {
	info, err := os.Stat(process)
	if err != nil {
		return ""
	}
	if status, ok := info.Sys().(*syscall.Stat_t); !ok || status.Uid != user.UID {
		return ""
	}
	line, err := os.ReadFile(filepath.Join(process, "cmdline")) //nolint:gosec // the kernel's own
	if err != nil {
		return ""
	}
	arguments := bytes.Split(line, []byte{0})
	if len(arguments) < 2 || !bytes.Contains(arguments[0], []byte("php")) {
		return ""
	}
	for _, argument := range arguments[1:] {
		path := string(argument)
		if !slices.ContainsFunc(workerScripts, func(script string) bool { return filepath.Base(script) == filepath.Base(path) }) {
			continue
		}
		if !filepath.IsAbs(path) {
			// Crontabs change to the directory first.
			work, err := os.Readlink(filepath.Join(process, "cwd"))
			if err != nil {
				continue
			}
			path = filepath.Join(work, path)
		}
		if real, err := filepath.EvalSymlinks(path); err == nil {
			path = real
		}
		for _, script := range workerScripts {
			if path == filepath.Join(site.Dir, script) || path == filepath.Join(site.Link, script) {
				return script
			}
		}
	}
	return ""
}
