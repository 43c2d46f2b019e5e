// Package control switches one Moodle site: maintenance mode, cron, the scripts in admin/cli, flags in its database,
// sessions and caches, its PHP-FPM pool; and it tries whether the site works. Whoever backs up, restores or updates a
// site puts these together; nothing here decides to undo anything.
//
// The site's own code runs as the site's user, always. Files in its dataroot, which belongs to that user, are touched
// through os.Root, which follows no link out of it.
package control

import (
	"errors"
	"fmt"
	"os"
)

// Run is the job on whose behalf programs of the site are started; *job.Run is one.
type Run interface {
	ChildStarted(pgid int) // a process group that now holds the lock as well
	LockFiles() []*os.File // for children to inherit
}

// ErrNotChecked is a check that could not be made: nothing listens, there is no pool, PHP is missing. It says nothing
// about the site, so nothing may be undone for it.
var ErrNotChecked = errors.New("not checked")

// NotCheckedError says which check was not made, and why. It is an ErrNotChecked.
type NotCheckedError struct {
	Check string // "check in the PHP-FPM pool"
	Err   error
}

// Error implements error.
func (e *NotCheckedError) Error() string { return fmt.Sprintf("%s was not made: %v", e.Check, e.Err) }

// Unwrap makes it an ErrNotChecked, and shows the reason.
func (e *NotCheckedError) Unwrap() []error { return []error{ErrNotChecked, e.Err} }
