package backup

import (
	"cmp"
	"context"
	"path"
	"slices"
)

// localFile is a file of a backup, and where on this host it lies.
type localFile struct {
	File
	name string
}

// filesOf are the files of backups, but for what goes up last, as objects in order and by object.
func (c *copier) filesOf(backups []*outgoing) (objects []object, files map[string]localFile) {
	files = map[string]localFile{}
	for _, b := range backups {
		for _, f := range b.Files {
			name := objectOf(b.Manifest, f, c.To.suffix)
			if _, known := files[name]; known || f.Name == restoreName {
				continue
			}
			files[name] = localFile{f, path.Join(b.ID, f.Name)}
			objects = append(objects, object{name: name, size: f.Size})
		}
	}
	slices.SortFunc(objects, func(a, b object) int { return cmp.Compare(a.name, b.name) })
	return objects, files
}

// verdict is one object that backups need, or that is known, with what there is of it.
type verdict struct {
	want, have, known *object
	damaged           bool
}

// there says whether the object is in the bucket as it should be.
func (v verdict) there() bool {
	switch {
	case v.have == nil || v.damaged:
		return false
	case isSealed(v.have.name):
		return v.known != nil && v.known.size == v.have.size
	}
	return v.have.size == v.want.size
}

// weigh holds what backups need, and what is known of encrypted objects, against the bucket.
func (c *copier) weigh(ctx context.Context, backups []*outgoing, each func(verdict) error) error {
	objects, _ := c.filesOf(backups)
	pool, err := unionOf(ctx, c.dir, c.local, manifestsOf(backups), c.To.suffix)
	if err != nil {
		return err
	}
	defer pool.close()
	known, endKnown, err := c.openSealed(ctx)
	if err != nil {
		return err
	}
	defer endKnown()
	damaged, endDamaged, err := readObjects(ctx, c.local, offsiteDamagedName, true)
	if err != nil {
		return err
	}
	defer endDamaged()
	return meetObjects(ctx, func(_ string, found []*object) error {
		if found[0] == nil && found[2] == nil {
			return nil
		}
		return each(verdict{found[0], found[1], found[2], found[3] != nil})
	}, inOrder(ofSlice(objects), pool.read()), c.there.all(), known, damaged)
}

// openSealed reads what is known of encrypted objects.
func (c *copier) openSealed(ctx context.Context) (next func() (object, error), end func(), err error) {
	if c.To.suffix == "" {
		return ofSlice(nil), func() {}, nil
	}
	return readObjects(ctx, c.local, sealedName, false)
}

// compare finds out how much is to be sent, and writes it down: should this run be killed, everybody knows.
func (c *copier) compare(ctx context.Context) error {
	err := c.weigh(ctx, c.backups, func(v verdict) error {
		if v.want == nil || v.there() {
			return nil
		}
		c.total += v.want.size
		if isSealed(v.want.name) && (v.have != nil || v.known != nil) {
			c.state.Stale = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.compared = true
	c.run.SetTotal(c.total)
	c.state.Remaining = c.total
	return saveJSON(ctx, c.local, copiedName, c.state)
}
