package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
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

// exitCodes maps errors to codes; any other error is exitFailed.
var exitCodes = []struct {
	fits func(error) bool
	code int
}{
	{is(context.Canceled), exitInterrupted},
	{refused, exitRefused},
	{is(backup.ErrNoSuchBackup), exitNoSuchBackup},
	{is(job.ErrLocked), exitLocked},
	{is(job.ErrPartial), exitPartial},
}

// worstFirst decides which code counts when several sites end differently.
var worstFirst = []int{exitInterrupted, exitFailed, exitRefused, exitNoSuchBackup, exitLocked, exitPartial, exitDone}

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

// codeOf is the code of the worst of several sites' errors.
func codeOf(err error) int {
	worst := exitDone
	for _, part := range parts(err) {
		if code := codeOfOne(part); slices.Index(worstFirst, code) < slices.Index(worstFirst, worst) {
			worst = code
		}
	}
	return worst
}

func codeOfOne(err error) int {
	for _, entry := range exitCodes {
		if entry.fits(err) {
			return entry.code
		}
	}
	return exitFailed
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
