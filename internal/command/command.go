// Package command runs programs, and is the only place of this product that does. Every program gets a
// context, a process group of its own, an environment that is written out rather than inherited, a capped
// stderr, and its exit status comes back as an error with a type. There is no shell anywhere.
package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Command is one program to run. The zero value of each field is the careful choice.
type Command struct {
	Name string   // program, a path or a name found in PATH
	Args []string // never a secret: any user of the host can read them in /proc
	Dir  string
	// Env is added to a minimal environment (PATH, LANG=C.UTF-8, HOME of User). Never a secret.
	Env    []string
	Stdin  io.Reader
	Stdout io.Writer // nil discards
	// User runs the program with another user's rights and no supplementary groups but that user's own.
	User *User
	// Nice lowers the program's priority: 0 leaves it, 19 is the lowest.
	Nice int
	// Files are handed down as descriptors 3, 4, …: a lock that must live as long as the program.
	Files []*os.File
	// Started is told the process group, so that a record can name who still holds the lock.
	Started func(pgid int)
	// Grace is how long the group may take to end after SIGTERM; 0 means 5 s.
	Grace time.Duration
}

// Error is a program that could not be started, or ended with anything but exit status 0.
type Error struct {
	Name     string
	ExitCode int    // -1 when it did not exit by itself
	Stderr   string // last part of what it said, for a person to read
	Err      error
}

func (e *Error) Error() string {
	text := fmt.Sprintf("run %s: %v", e.Name, e.Err)
	if said := lastLines(e.Stderr, 3); said != "" {
		text += ": " + said
	}
	return text
}

func (e *Error) Unwrap() error { return e.Err }

const (
	stderrCap    = 16 << 10
	defaultGrace = 5 * time.Second
	defaultPath  = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// Run starts the program and waits for it and for its whole process group. When ctx ends the group is
// told to end (SIGTERM), and killed after Grace; the error is then ctx's.
func Run(ctx context.Context, c Command) error {
	process := exec.CommandContext(ctx, c.Name, c.Args...) //nolint:gosec // callers pass fixed programs, no shell
	stderr := &tail{limit: stderrCap}
	process.Dir, process.Stdin, process.Stdout, process.Stderr = c.Dir, c.Stdin, c.Stdout, stderr
	process.ExtraFiles = c.Files
	process.Env = environment(c)
	process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: c.User.credential()}
	grace := c.Grace
	if grace == 0 {
		grace = defaultGrace
	}
	process.Cancel = func() error { return syscall.Kill(-process.Process.Pid, syscall.SIGTERM) }
	process.WaitDelay = grace
	if err := process.Start(); err != nil {
		return &Error{Name: c.Name, ExitCode: -1, Err: err}
	}
	pgid := process.Process.Pid
	if c.Nice > 0 {
		// Best effort: a lower priority is a courtesy to the site, not a condition.
		_ = syscall.Setpriority(syscall.PRIO_PGRP, pgid, c.Nice)
	}
	if c.Started != nil {
		c.Started(pgid)
	}
	err := process.Wait()
	if ctx.Err() != nil {
		// Wait has seen only the leader: whoever is left of the group goes now.
		_ = syscall.Kill(-pgid, syscall.SIGKILL)
		return &Error{Name: c.Name, ExitCode: -1, Stderr: stderr.String(), Err: ctx.Err()}
	}
	if err != nil {
		return &Error{Name: c.Name, ExitCode: exitCode(err), Stderr: stderr.String(), Err: err}
	}
	return nil
}

// Output runs the program and returns what it wrote to stdout, at most limit bytes of it: the output of a
// foreign program must not fill our memory. More than limit is an error.
func Output(ctx context.Context, limit int, c Command) ([]byte, error) {
	var buffer bytes.Buffer
	c.Stdout = &capped{buffer: &buffer, left: limit}
	err := Run(ctx, c)
	return buffer.Bytes(), err
}

// ExitCode is the exit status inside err, 0 for nil, and -1 for a program that did not exit by itself.
func ExitCode(err error) int {
	var failure *Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &failure):
		return failure.ExitCode
	}
	return -1
}

// Look finds the first of the named programs in the PATH that Run gives to programs.
func Look(names ...string) (string, error) {
	for _, name := range names {
		if strings.Contains(name, "/") {
			if info, err := os.Stat(name); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
				return name, nil
			}
			continue
		}
		for dir := range strings.SplitSeq(defaultPath, ":") {
			path := dir + "/" + name
			if info, err := os.Stat(path); err == nil && !info.IsDir() && info.Mode()&0o111 != 0 {
				return path, nil
			}
		}
	}
	return "", fmt.Errorf("none of %s is installed", strings.Join(names, ", "))
}

func exitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return -1
}

func environment(c Command) []string {
	home := "/"
	if c.User != nil {
		home = c.User.Home
	} else if own := os.Getenv("HOME"); own != "" {
		home = own
	}
	return append([]string{"PATH=" + defaultPath, "LANG=C.UTF-8", "HOME=" + home}, c.Env...)
}
