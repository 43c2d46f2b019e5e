package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

// Listed is one backup as a look at its manifest and the sizes of its files shows it.
type Listed struct {
	ID       string
	Manifest *Manifest // nil if it cannot be read
	Problem  error     // why the backup is not to be relied on; nil for a good one
	Verified bool      // every byte of it was read back and found right
	Hurt     int64     // content files of it that the last verification found damaged or missing
}

// Good says whether nothing is known against the backup.
func (l Listed) Good() bool { return l.Problem == nil }

// List are the backups of a site in dir, oldest first. One whose manifest cannot be read is among them
// with its problem; a directory without manifest is no backup. None at all is an empty list.
func List(ctx context.Context, dir, site string) ([]Listed, error) {
	return list(ctx, store.NewDirectory(SiteDir(dir, site)))
}

func list(ctx context.Context, s store.Store) ([]Listed, error) {
	names, err := s.Dirs(ctx)
	if err != nil {
		return nil, fmt.Errorf("list backups: %w", err)
	}
	// A record that cannot be read is as good as none; the next verification names it and writes a new one.
	verified, _ := loadVerification(ctx, s)
	var backups []Listed
	for _, id := range names {
		if !isID(id) {
			continue
		}
		manifest, err := readManifest(ctx, s, id)
		if errors.Is(err, ErrNoSuchBackup) {
			continue
		}
		listed := Listed{ID: id, Manifest: manifest, Problem: err}
		if err == nil {
			listed.Problem = cmp.Or(inspect(ctx, s, manifest), verified.problem(id))
			listed.Verified, listed.Hurt = verified.whole(id), verified.Hurt[id]
		}
		backups = append(backups, listed)
	}
	slices.SortFunc(backups, func(a, b Listed) int { return strings.Compare(a.ID, b.ID) })
	return backups, nil
}

// inspect compares the files' sizes with what the manifest says. It reads none of them.
func inspect(ctx context.Context, s store.Store, m *Manifest) error {
	var problems []error
	for _, file := range m.Files {
		info, err := s.Stat(ctx, path.Join(m.ID, file.Name))
		if err == nil && info.Size != file.Size {
			err = fmt.Errorf("has %d bytes, not %d", info.Size, file.Size)
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", file.Name, err))
		}
	}
	return errors.Join(problems...)
}

// Latest is the word for the newest good and complete backup.
const Latest = "latest"

// Show finds one backup by ID or Latest. ErrNoSuchBackup if there is none.
func Show(ctx context.Context, dir, site, id string) (Listed, error) {
	backups, err := List(ctx, dir, site)
	if err != nil {
		return Listed{}, err
	}
	return pick(backups, site, id)
}

// pick finds one of these backups by ID or Latest. ErrNoSuchBackup if it is not among them.
func pick(backups []Listed, site, id string) (Listed, error) {
	for _, listed := range slices.Backward(backups) {
		if listed.ID == id || id == Latest && listed.Good() && listed.Manifest.Complete() {
			return listed, nil
		}
	}
	return Listed{}, fmt.Errorf("%w: %s of site %s", ErrNoSuchBackup, id, site)
}
