package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

var (
	copiedName         = path.Join(offsiteDir, "copied.json")
	sealedName         = path.Join(offsiteDir, "sealed.list")     // encrypted objects with size and SHA-256
	sealedNewName      = path.Join(offsiteDir, "sealed.new.list") // the one that a copy is writing; may be torn
	offsiteVerifyName  = path.Join(offsiteDir, verifyName)
	offsiteDamagedName = path.Join(offsiteDir, damagedName) // objects that the last verification found damaged
)

// copiedState is copied.json: what is known of the copies without asking the bucket.
type copiedState struct {
	Format int      `json:"format"`
	Place  string   `json:"place"`
	Copied []string `json:"copied"` // IDs of backups that are there, all of them
	// Leaving are backups that no rule keeps: they are not copied, and may have been pruned there.
	Leaving []string `json:"leaving,omitempty"`
	// Stale: encrypted objects were replaced, and lists of ciphertext in the bucket may have the old digests.
	Stale bool `json:"stale,omitempty"`
	// Remaining is what was still to be sent when the last copy ended, in bytes; Of are the backups that it
	// is for. Nobody knows it before the first copy.
	Remaining int64    `json:"remaining"`
	Of        []string `json:"of,omitempty"`
}

// knows says whether the last copy has dealt with a backup in one way or another.
func (s *copiedState) knows(id string) bool {
	return slices.Contains(s.Copied, id) || slices.Contains(s.Of, id) || slices.Contains(s.Leaving, id)
}

// loadCopied is what is known of the copies in a place; nothing, if what is known is of another place.
func loadCopied(ctx context.Context, s store.Store, place string) (state copiedState, known bool, err error) {
	if err := loadJSON(ctx, s, copiedName, &state); err != nil || state.Format != Format || state.Place != place {
		return copiedState{Format: Format, Place: place}, false, err
	}
	return state, true, nil
}

// OffsiteInventory is what this host knows of the copies of a site's backups.
type OffsiteInventory struct {
	Place   string `json:"place"`         // that the rest is about
	Pending int64  `json:"pending_bytes"` // of good backups that are not there
}

// addOffsite tells what still has to be copied: what the last copy left, and what the backups have newly
// stored that it did not know. Before the first copy that is everything.
func (i *Inventory) addOffsite(ctx context.Context, s store.Store, backups []Listed) error {
	var state copiedState
	if err := loadJSON(ctx, s, copiedName, &state); err != nil {
		return fmt.Errorf("read %s: %w", copiedName, err)
	}
	i.Offsite = OffsiteInventory{Place: state.Place, Pending: state.Remaining}
	if len(state.Copied) == 0 && len(state.Of) == 0 {
		i.Offsite.Pending = i.StoredBytes
		return nil
	}
	for _, b := range backups {
		if b.Good() && !state.knows(b.ID) {
			i.Offsite.Pending += total((*Manifest).Written)(b.Manifest)
		}
	}
	return nil
}

// loadOffsiteVerification is how the copies were last verified.
func loadOffsiteVerification(ctx context.Context, s store.Store) (verification, error) {
	var v verification
	if err := loadJSON(ctx, s, offsiteVerifyName, &v); err != nil {
		return verification{}, fmt.Errorf("read %s: %w", offsiteVerifyName, err)
	}
	return v, nil
}

// readObjects reads a list on this host to its end, or, if it may be torn, as far as it can be read. One
// that is not there is empty.
func readObjects(ctx context.Context, s store.Store, name string, torn bool) (next func() (object, error), end func(), err error) {
	file, err := s.Open(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		return ofSlice(nil), func() {}, nil
	}
	if err != nil {
		return nil, nil, err
	}
	list := newObjectReader(file)
	next = list.next
	if torn {
		next = func() (object, error) {
			o, err := list.next()
			if err != nil {
				err = io.EOF
			}
			return o, err
		}
	}
	return next, func() { _ = file.Close() }, nil
}
