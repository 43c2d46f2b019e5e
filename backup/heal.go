package backup

import (
	"bytes"
	"context"
	"maps"
	"path"
)

// heal mends, with what the new backup has brought, what verifications have found: content files are in
// the pool again by now, an archive whose like has just been written is linked to that, and RESTORE.txt
// can be written anew.
func (c *creation) heal(ctx context.Context) error {
	known, err := loadVerification(ctx, c.Store)
	if err != nil || known.Ended.IsZero() {
		return err
	}
	changed := false
	for id, files := range known.Bad {
		manifest, err := readManifest(ctx, c.Store, id)
		if err != nil {
			continue // nothing can be said of what it needs
		}
		for name := range maps.Clone(files) {
			mended, err := c.mend(ctx, manifest, name)
			if err != nil {
				return err
			}
			if mended {
				c.Logger.Info("mended a damaged file of an earlier backup", "backup", id, "file", name)
				delete(files, name)
				changed = true
			}
		}
		if len(files) == 0 {
			delete(known.Bad, id)
		}
	}
	left, err := lacking(ctx, c.Store)
	if err != nil {
		return err
	}
	if left == 0 && len(known.Hurt) > 0 {
		known.Hurt, changed = nil, true
		if err := c.Store.Remove(ctx, damagedName); err != nil {
			return err
		}
	}
	if !changed {
		return nil
	}
	return saveJSON(ctx, c.Store, verifyName, known)
}

// mend brings one file of an earlier backup back, if that can be done.
func (c *creation) mend(ctx context.Context, m *Manifest, name string) (bool, error) {
	want, named := m.File(name)
	if !named {
		return false, nil
	}
	if name == restoreName {
		text, err := instructions(m, c.Store.Path(m.ID), c.Store.Path(poolName))
		if err != nil {
			return false, err
		}
		digest := newMeter()
		_, _ = digest.Write(text)
		if digest.sum() != want.SHA256 {
			return false, nil // another version has written it
		}
		_, err = c.Store.Save(ctx, path.Join(m.ID, name), digest.size, bytes.NewReader(text))
		return err == nil, err
	}
	fresh, made := c.manifest.File(name)
	if !made || fresh.SHA256 != want.SHA256 || fresh.Size != want.Size {
		return false, nil
	}
	err := c.Store.Link(path.Join(c.manifest.ID, name), path.Join(m.ID, name))
	return err == nil, err
}
