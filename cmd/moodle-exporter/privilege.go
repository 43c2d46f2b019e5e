package main

import (
	"errors"
	"io/fs"
	"os"
	"slices"

	"github.com/moodle-exporter/moodle-exporter/backup"
)

// rootOnly are the commands that do something to the host or to its backups, or take the privileged look.
var rootOnly = []string{
	"probe", "backup create", "backup verify", "backup prune", "backup copy", "backup accept-missing",
	"restore", "drill", "update", "maintain",
}

const asRoot = "run it as root, for example with sudo before it"

// askRoot refuses what an ordinary user cannot do to a host, before anything is begun: half of it would go well, and the
// error at the other half would be one of many. Whoever keeps state of their own, as a test or a demo does, works on what
// is theirs.
func (e *environment) askRoot(command string) error {
	if os.Geteuid() == 0 || e.stateDir != defaultStateDir || !slices.Contains(rootOnly, command) {
		return nil
	}
	return &backup.RefusedError{
		Happened: command + " is for root",
		Means:    "it reads what sites and backups close to everybody else, and keeps its records in " + e.stateDir + "; nothing was done",
		Do:       asRoot,
	}
}

// sayRoot explains an error by which an ordinary user learns that something is closed to them.
func sayRoot(command string, err error) error {
	if os.Geteuid() == 0 || slices.Contains(rootOnly, command) || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return &backup.RefusedError{Happened: "this is closed to ordinary users", Err: err, Means: "nothing was done", Do: asRoot}
}
