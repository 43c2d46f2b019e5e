package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

// ListOffsite are the copies of a site's backups, oldest first, as their manifests and a listing of their
// files show them, with what the last verification of copies on this host has found. dir is that of all
// backups on this host. A copy without a manifest has not come to its end, and is none.
func ListOffsite(ctx context.Context, dir, site string, from *Offsite) ([]Listed, error) {
	there, err := from.filesOfBackups(ctx)
	if err != nil {
		return nil, err
	}
	// A record that cannot be read is as good as none; the next verification writes a new one.
	verified, _ := loadOffsiteVerification(ctx, store.NewDirectory(SiteDir(dir, site)))
	var copies []Listed
	for _, id := range there.ids() {
		_, m, err := from.readRaw(ctx, id)
		if err != nil && !unreadable(err) {
			return nil, err
		}
		if m == nil && err == nil {
			continue
		}
		listed := Listed{ID: id, Manifest: m, Problem: err}
		if m != nil {
			listed.Problem = cmp.Or(there.inspect(m), verified.problem(id))
			listed.Verified, listed.Hurt = verified.whole(id), verified.Hurt[id]
		}
		copies = append(copies, listed)
	}
	return copies, nil
}

// ShowOffsite finds one copy by ID or Latest. ErrNoSuchBackup if there is none.
func ShowOffsite(ctx context.Context, dir, site, id string, from *Offsite) (Listed, error) {
	copies, err := ListOffsite(ctx, dir, site, from)
	if err != nil {
		return Listed{}, err
	}
	return pick(copies, site, id)
}

// FindOffsite finds the copy that is meant by an ID or Latest; empty for "all". ErrNoSuchBackup.
func FindOffsite(ctx context.Context, dir, site, id string, from *Offsite) (string, error) {
	copies, err := ListOffsite(ctx, dir, site, from)
	if err != nil {
		return "", err
	}
	// Copies that were made and of which nothing is left are for the verification to tell.
	state, _, _ := loadCopied(ctx, store.NewDirectory(SiteDir(dir, site)), from.Place)
	if id == "all" && len(copies)+len(state.Copied) > 0 {
		return "", nil
	}
	for _, c := range slices.Backward(copies) {
		// Other than for a restore, the latest one is meant whether or not something is known against it.
		if c.ID == id || id == Latest && (c.Manifest == nil || c.Manifest.Complete()) {
			return c.ID, nil
		}
	}
	return "", fmt.Errorf("%w: there is no copy of %s of site %s", ErrNoSuchBackup, id, site)
}

// filesOfBackups is a listing without the content files: few requests, whatever the size of the pool.
func (o *Offsite) filesOfBackups(ctx context.Context) (*listing, error) {
	l := &listing{files: map[string]map[string]int64{}}
	names, err := o.objects.Dirs(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the copies: %w", err)
	}
	for _, id := range names {
		if !isID(id) {
			continue
		}
		l.files[id] = map[string]int64{}
		err := o.objects.List(ctx, id, func(info store.Info) error {
			if path.Dir(info.Name) == id {
				l.files[id][path.Base(info.Name)] = info.Size
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("list the copy of backup %s: %w", id, err)
		}
	}
	return l, nil
}

// inspect holds the names of a copy's files, and the sizes of those that are not encrypted, against its
// manifest.
func (l *listing) inspect(m *Manifest) error {
	suffix := ""
	if _, sealed := l.size(path.Join(m.ID, ciphertextName)); sealed {
		suffix = sealedSuffix
	}
	var problems []error
	for _, f := range m.Files {
		name := objectOf(m, f, suffix)
		size, there := l.size(name)
		switch {
		case !there:
			problems = append(problems, fmt.Errorf("%s: missing", name))
		case isSealed(name) && size <= f.Size, !isSealed(name) && size != f.Size:
			problems = append(problems, fmt.Errorf("%s: has %d bytes, and is made of %d", name, size, f.Size))
		}
	}
	return errors.Join(problems...)
}
