package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

// Exit codes of jobs, for scripts and units.
const (
	exitDone         = 0
	exitFailed       = 1
	exitPartial      = 3
	exitNoSuchBackup = 10
	exitLocked       = 11
	exitRefused      = 12
	exitInterrupted  = 130
)

// exitStatus is an error that is only an exit code: what there was to say has been said.
type exitStatus int

func (s exitStatus) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// exitCodes maps errors to codes, worst first: with several sites the first that fits any of them counts.
var exitCodes = []struct {
	fits func(error) bool
	code int
}{
	{is(context.Canceled), exitInterrupted},
	{func(err error) bool { return plain(err) }, exitFailed},
	{refused, exitRefused},
	{is(backup.ErrNoSuchBackup), exitNoSuchBackup},
	{is(job.ErrLocked), exitLocked},
	{is(job.ErrPartial), exitPartial},
}

// finish is the one place where an error becomes an exit code, and a line for the user.
func (e *environment) finish(ctx context.Context, err error) int {
	var status exitStatus
	if errors.As(err, &status) {
		return int(status)
	}
	if err == nil {
		return exitDone
	}
	code := codeOf(err)
	if ctx.Err() != nil {
		code = exitInterrupted
	}
	_, _ = fmt.Fprintf(e.stderr, "moodle-exporter: %s\n", strings.TrimSpace(err.Error()))
	return code
}

func codeOf(err error) int {
	worst := -1
	for _, part := range parts(err) {
		for rank, entry := range exitCodes {
			if entry.fits(part) {
				if worst < 0 || rank < worst {
					worst = rank
				}
				break
			}
		}
	}
	if worst < 0 {
		return exitFailed
	}
	return exitCodes[worst].code
}

// parts are the errors of the single sites.
func parts(err error) []error {
	var several sites
	if errors.As(err, &several) {
		return several
	}
	return []error{err}
}

// sites are the failures of several sites, each with the site's name in it.
type sites []error

func (s sites) Error() string {
	lines := make([]string, len(s))
	for i, err := range s {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

func (s sites) Unwrap() []error { return s }

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func refused(err error) bool {
	var refusal *backup.RefusedError
	return errors.As(err, &refusal)
}

// plain is an error that none of the special codes fits.
func plain(err error) bool {
	for _, entry := range exitCodes[2:] {
		if entry.fits(err) {
			return false
		}
	}
	return true
}
