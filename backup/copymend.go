package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
)

// mended brings up to date what is known: objects that were replaced have other digests than lists of
// ciphertext say, and are no longer damaged.
func (c *copier) mended(ctx context.Context) error {
	if c.state.Stale {
		for _, id := range c.there.ids() {
			if err := c.renewCiphertext(ctx, id); err != nil {
				return err
			}
		}
		c.state.Stale = false
	}
	if err := c.forgetDamage(ctx); err != nil {
		return err
	}
	return saveJSON(ctx, c.local, copiedName, c.state)
}

// renewCiphertext brings the list of ciphertext of one copy up to date.
func (c *copier) renewCiphertext(ctx context.Context, id string) error {
	name := path.Join(id, ciphertextName)
	if _, sealed := c.there.size(name); !sealed || slices.Contains(c.done, id) {
		return nil
	}
	from, err := openCompressed(ctx, c.To.objects, name)
	if err != nil {
		return err
	}
	defer from.close()
	known, end, err := c.openSealed(ctx)
	if err != nil {
		return err
	}
	defer end()
	var unread error
	err = saveCompressed(ctx, c.To.objects, c.dir, name, func(add func(object) error) error {
		return meetObjects(ctx, func(_ string, found []*object) error {
			switch {
			case found[0] == nil:
				return nil
			case found[1] != nil:
				return add(*found[1])
			}
			return add(*found[0])
		}, func() (o object, err error) {
			if o, err = from.next(); err != nil && !errors.Is(err, io.EOF) {
				unread = err
			}
			return o, err
		}, known)
	})
	if unread != nil && ctx.Err() == nil {
		// Nobody can tell what it named; `verify` says so.
		c.Logger.Warn("a list of ciphertext cannot be read, and is left as it is", "backup", id, "err", unread)
		return nil
	}
	if err != nil {
		return fmt.Errorf("bring the list of ciphertext of backup %s up to date: %w", id, err)
	}
	return nil
}

// forgetDamage takes from the damage that a verification found what has been mended. What only backups
// need that this host no longer has stays damaged.
func (c *copier) forgetDamage(ctx context.Context) error {
	left := 0
	spill, err := spillObjects(c.dir, func(add func(object) error) error {
		damaged, end, err := readObjects(ctx, c.local, offsiteDamagedName, true)
		if err != nil {
			return err
		}
		defer end()
		mended := c.mendedFiles()
		pool, err := unionOf(ctx, c.dir, c.local, manifestsOf(c.backups), c.To.suffix)
		if err != nil {
			return err
		}
		defer pool.close()
		return meetObjects(ctx, func(name string, found []*object) error {
			if found[0] == nil || mended[name] || found[1] != nil && !c.isBroken(name) {
				return nil
			}
			left++
			return add(*found[0])
		}, damaged, pool.read())
	})
	if err != nil {
		return err
	}
	defer spill.close()
	known, err := loadOffsiteVerification(ctx, c.local)
	if err == nil && !known.Ended.IsZero() {
		for _, id := range c.state.Copied {
			delete(known.Bad, id)
			delete(known.Hurt, id)
		}
		err = saveJSON(ctx, c.local, offsiteVerifyName, known)
	}
	if err != nil {
		return err
	}
	if left == 0 {
		return c.local.Remove(ctx, offsiteDamagedName)
	}
	return saveObjects(ctx, c.local, offsiteDamagedName, func(add func(object) error) error {
		return meetObjects(ctx, func(_ string, found []*object) error { return add(*found[0]) }, spill.read())
	})
}

// mendedFiles are all files of backups that were there or have been sent, by object.
func (c *copier) mendedFiles() map[string]bool {
	mended := map[string]bool{}
	for _, b := range c.backups {
		for _, f := range b.Files {
			name := objectOf(b.Manifest, f, c.To.suffix)
			mended[name] = !c.isBroken(name)
		}
		for _, name := range []string{manifestName, ciphertextName} {
			mended[path.Join(b.ID, name)] = !slices.Contains(c.failed, b.ID)
		}
	}
	return mended
}
