package backup

import (
	"bytes"
	"context"
	"path"
	"slices"
)

// finish looks what there is in the bucket now, and gives their manifests to the backups that are whole.
func (c *copier) finish(ctx context.Context, backups []*outgoing) error {
	there, err := c.To.list(ctx, c.dir, nil, func(string) {})
	if err != nil {
		return err
	}
	c.there.close()
	c.there = there
	for _, b := range backups {
		lacks, err := c.count(ctx, b)
		if err != nil {
			return err
		}
		if lacks == 0 && b.lacking {
			lacks, err = c.publish(ctx, b)
		}
		if err != nil {
			return err
		}
		c.settle(b, lacks)
		if err := saveJSON(ctx, c.local, copiedName, c.state); err != nil {
			return err
		}
	}
	return nil
}

// settle notes how it went with one backup.
func (c *copier) settle(b *outgoing, lacks int) {
	is := func(id string) bool { return id == b.ID }
	c.state.Of, c.state.Copied = slices.DeleteFunc(c.state.Of, is), slices.DeleteFunc(c.state.Copied, is)
	if lacks > 0 {
		c.failed = append(c.failed, b.ID)
		c.state.Of = append(c.state.Of, b.ID)
		return
	}
	c.state.Copied = append(c.state.Copied, b.ID)
	if b.lacking {
		c.done = append(c.done, b.ID)
	}
}

// own holds all that one backup needs against the bucket.
func (c *copier) own(ctx context.Context, b *outgoing, each func(verdict) error) error {
	objects, _ := c.filesOf([]*outgoing{b})
	wanted := ofSlice(objects)
	if _, listed := b.File(listName); listed {
		list, err := openList(ctx, c.local, b.Manifest)
		if err != nil {
			return err
		}
		defer closeAll([]*listCursor{list})
		wanted = inOrder(wanted, poolObjects(list, c.To.suffix))
	}
	known, end, err := c.openSealed(ctx)
	if err != nil {
		return err
	}
	defer end()
	return meetObjects(ctx, func(_ string, found []*object) error {
		if found[0] == nil {
			return nil
		}
		return each(verdict{want: found[0], have: found[1], known: found[2]})
	}, wanted, c.there.all(), known)
}

// count counts what is not in the bucket of all that a backup needs.
func (c *copier) count(ctx context.Context, b *outgoing) (lacks int, err error) {
	gone := 0
	err = c.own(ctx, b, func(v verdict) error {
		if v.there() {
			return nil
		}
		if lacks++; !c.isBroken(v.want.name) {
			gone++
		}
		return nil
	})
	if gone > 0 {
		c.lost[b.ID] = gone
	}
	return lacks, err
}

// publish writes what a backup has beside its objects, and its manifest last.
func (c *copier) publish(ctx context.Context, b *outgoing) (lacks int, err error) {
	if c.To.suffix != "" {
		err := saveCompressed(ctx, c.To.objects, c.dir, path.Join(b.ID, ciphertextName), func(add func(object) error) error {
			return c.own(ctx, b, func(v verdict) error {
				if !isSealed(v.want.name) {
					return nil
				}
				return add(*v.known)
			})
		})
		if err != nil {
			return 0, err
		}
		c.At("ciphertext listed")
	}
	if f, named := b.File(restoreName); named {
		s := &sender{copier: c, files: map[string]localFile{path.Join(b.ID, restoreName): {f, path.Join(b.ID, restoreName)}}}
		if _, err := s.sendOne(ctx, object{name: path.Join(b.ID, restoreName), size: f.Size}, true); err != nil {
			return 0, err
		}
		if c.isBroken(path.Join(b.ID, restoreName)) {
			return 1, nil
		}
	}
	c.At("instructions sent")
	if _, err := c.To.objects.Save(ctx, path.Join(b.ID, manifestName), int64(len(b.raw)), bytes.NewReader(b.raw)); err != nil {
		return 0, err
	}
	c.At("manifest sent")
	c.Logger.Info("copied a backup", "backup", b.ID, "to", c.To.Place)
	return 0, nil
}

func manifestsOf(backups []*outgoing) []*Manifest {
	manifests := make([]*Manifest, len(backups))
	for i, b := range backups {
		manifests[i] = b.Manifest
	}
	return manifests
}
