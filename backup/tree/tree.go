// Package tree puts the files of a backup in place: extraction that no archive can lead astray, content
// files into a live filedir, and the exchange of whole trees with a way back.
//
// The trees belong to others, who may swap a directory for a link while root works in it. So every step
// goes from one open directory to the next without following links; no path is resolved twice.
//
// Everything unfinished or on its way out lies in a directory whose name begins with store.Prefix, which
// is open to root alone. See MakeStaging.
package tree

import (
	"errors"
	"fmt"
)

// ErrHostile is an archive with an entry that must not be put in place. The error text names the entry.
var ErrHostile = errors.New("refused")

// ErrTruncated is an archive that ends before its end mark.
var ErrTruncated = errors.New("the archive is cut off")

// ErrRefused is an exchange that cannot be made on this host as it is; the text says why and what to do.
var ErrRefused = errors.New("cannot be exchanged")

// ErrLost is a state that is neither of the two that an exchange goes between, nor on the way.
var ErrLost = errors.New("neither the old nor the new tree is where it should be")

// ErrDamaged is a content file whose content is not what its name says.
var ErrDamaged = errors.New("the content does not have the SHA-1 that the file is named by")

func hostile(entry, format string, arguments ...any) error {
	return fmt.Errorf("archive entry %q %w: %s", entry, ErrHostile, fmt.Sprintf(format, arguments...))
}
