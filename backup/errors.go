package backup

import (
	"errors"
	"fmt"
	"syscall"
	"unicode"
	"unicode/utf8"

	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

// ErrNoSuchBackup is an ID that no complete manifest stands for.
var ErrNoSuchBackup = errors.New("no such backup")

// RefusedError is a preflight that said no: nothing was begun, nothing was changed.
type RefusedError struct {
	Happened string // what was found
	Means    string // why that stops a backup
	Do       string // what the administrator can do about it
	Err      error  // the cause, if there is one
}

func (e *RefusedError) Error() string {
	happened := e.Happened
	if e.Err != nil {
		happened += ": " + e.Err.Error()
	}
	return happened + ".\n" + sentence(e.Means) + " " + sentence(e.Do)
}

func sentence(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[size:] + "."
}

func (e *RefusedError) Unwrap() error { return e.Err }

// MissingError is a backup that was made and is good, of a site that has lost more of its files than
// somebody has accepted. It is a job.ErrPartial.
type MissingError struct {
	Missing  int64 // content files that the database names and that exist nowhere
	Accepted int64
}

func (e *MissingError) Error() string {
	return fmt.Sprintf("the backup is made, but %d files that the site's database names are missing from the site (%d are accepted).\n"+
		"Users cannot open them. Look for them in older backups, or accept the loss with `moodle-exporter backup accept-missing`.",
		e.Missing, e.Accepted)
}

func (e *MissingError) Unwrap() error { return job.ErrPartial }

// IncompleteError is a backup that was made and is good, of a site that keeps content where this program
// cannot read it. It is a job.ErrPartial.
type IncompleteError struct {
	ID     string // of the backup
	Reason string // what is not in it
}

func (e *IncompleteError) Error() string {
	return fmt.Sprintf("the backup %s is made, but it is not complete: %s.\n"+
		"It does not count as the latest one. Back the other storage up by its own means (versions, replication), and to restore name this backup by its ID.",
		e.ID, e.Reason)
}

func (e *IncompleteError) Unwrap() error { return job.ErrPartial }

// explainFull says what to do about a disk that became full on the way, in spite of the preflight.
func explainFull(err error, dir string) error {
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return err
	}
	return fmt.Errorf("%w.\nThere is no room left for the backup in %s. Earlier backups are as they were. "+
		"Make room, shorten backup.keep, or move backup.dir to a larger disk, and run the backup again: content files that are copied already are not copied again", err, dir)
}
