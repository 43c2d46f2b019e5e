package backup

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
)

// aborter is a store in which uploads that were never finished take room.
type aborter interface {
	AbortIncomplete(ctx context.Context, prefix string) (int, error)
}

// look finds out what there is here and there.
func (c *copier) look(ctx context.Context) (err error) {
	if c.dir, err = makeOffsiteDir(c.local); err != nil {
		return err
	}
	if c.before, c.knows, err = loadCopied(ctx, c.local, c.To.Place); err != nil {
		c.Logger.Warn("what was known of the copies is read anew from the bucket", "err", err)
	}
	if uploads, can := c.To.objects.(aborter); can {
		// A copy that was killed may have begun some; nobody else uploads to this place.
		if _, err := uploads.AbortIncomplete(ctx, ""); err != nil {
			return err
		}
	}
	if c.there, err = c.To.list(ctx, c.dir, nil, func(string) {}); err != nil {
		return err
	}
	if err := c.readDamaged(ctx); err != nil {
		return err
	}
	backups, err := list(ctx, c.local)
	if err != nil {
		return err
	}
	leaves := c.leaving(backups)
	state := copiedState{Format: Format, Place: c.To.Place, Stale: c.before.Stale}
	for _, b := range slices.Backward(backups) {
		if !b.Good() {
			c.Logger.Info("this backup is not good, and is not copied", "backup", b.ID, "err", b.Problem)
			continue
		}
		out, err := c.take(ctx, b.ID)
		if errors.Is(err, ErrNoSuchBackup) {
			continue // pruned meanwhile
		}
		if err != nil {
			return err
		}
		if err := cmp.Or(c.compareManifest(ctx, out), c.proveList(ctx, out)); err != nil {
			out.pin.Close()
			return err
		}
		switch {
		case slices.Contains(c.failed, out.ID):
			out.pin.Close()
			continue
		case out.lacking && leaves[b.ID]:
			out.pin.Close()
			state.Leaving = append(state.Leaving, b.ID)
			continue
		case out.lacking:
			state.Of = append(state.Of, out.ID)
		default:
			state.Copied = append(state.Copied, out.ID)
		}
		c.backups = append(c.backups, out)
	}
	if c.To.suffix == "" {
		c.leaveSealed()
	}
	// Before the rest is compared nobody knows how much is to be sent: what was known holds.
	c.state = state
	c.state.Remaining = c.before.Remaining
	return c.openKnown(ctx)
}

// leaving are the backups that no rule keeps.
func (c *copier) leaving(backups []Listed) map[string]bool {
	leaving := map[string]bool{}
	if c.Keep != nil {
		for _, d := range Retain(candidates(backups), *c.Keep, c.Clock()) {
			leaving[d.ID] = !d.Keep()
		}
	}
	return leaving
}

// proveList makes sure that it is known what content files a backup needs. Without that it cannot be copied.
func (c *copier) proveList(ctx context.Context, out *outgoing) error {
	if _, listed := out.File(listName); !listed {
		return nil
	}
	list, err := openList(ctx, c.local, out.Manifest)
	if err == nil {
		err = finish([]*listCursor{list})
		closeAll([]*listCursor{list})
	}
	if err != nil && ctx.Err() == nil {
		c.breakOff(path.Join(out.ID, listName), err)
		c.failed = append(c.failed, out.ID)
		return nil
	}
	return ctx.Err()
}

// take pins a backup and reads its manifest as it is.
func (c *copier) take(ctx context.Context, id string) (*outgoing, error) {
	pin, err := PinBackup(c.local, id)
	if err != nil {
		return nil, err
	}
	out := &outgoing{pin: pin}
	file, err := c.local.Open(ctx, path.Join(id, manifestName))
	if err == nil {
		out.raw, err = io.ReadAll(io.LimitReader(file, maxManifest))
		err = errors.Join(err, file.Close())
	}
	if err == nil {
		out.Manifest, err = parseManifest(bytes.NewReader(out.raw))
	}
	if err != nil {
		pin.Close()
		return nil, fmt.Errorf("read the manifest of backup %s: %w", id, err)
	}
	return out, nil
}

// compareManifest says whether a backup is there, as far as manifest, lists and instructions go.
func (c *copier) compareManifest(ctx context.Context, out *outgoing) error {
	raw, there, err := c.To.readRaw(ctx, out.ID)
	if err != nil && !unreadable(err) {
		return err
	}
	out.lacking = !bytes.Equal(raw, out.raw)
	if there != nil && out.lacking {
		c.taken, c.failed = append(c.taken, out.ID), append(c.failed, out.ID)
		return nil
	}
	instructions, named := out.File(restoreName)
	size, found := c.there.size(path.Join(out.ID, restoreName))
	if named && (!found || size != instructions.Size) || c.damaged[path.Join(out.ID, restoreName)] {
		out.lacking = true
	}
	_, listed := c.there.size(path.Join(out.ID, ciphertextName))
	// A copy from before encryption was asked for is made again, encrypted.
	if c.To.suffix != "" && (!listed || c.damaged[path.Join(out.ID, ciphertextName)]) {
		out.lacking = true
	}
	return nil
}

// leaveSealed leaves alone what was copied encrypted by a configuration that no longer asks for it: these
// copies are whole, and have other objects than the ones that would be sent now.
func (c *copier) leaveSealed() {
	c.backups = slices.DeleteFunc(c.backups, func(b *outgoing) bool {
		_, sealed := c.there.size(path.Join(b.ID, ciphertextName))
		if sealed && !b.lacking {
			b.pin.Close()
			return true
		}
		return false
	})
}

// readDamaged reads which files of backups a verification has found damaged. Content files are many, and
// are read from the list when they are compared.
func (c *copier) readDamaged(ctx context.Context) error {
	c.damaged = map[string]bool{}
	next, end, err := readObjects(ctx, c.local, offsiteDamagedName, true)
	if err != nil {
		return err
	}
	defer end()
	for {
		o, err := next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if !isPoolObject(o.name) {
			c.damaged[o.name] = true
		}
	}
}
