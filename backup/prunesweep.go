package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
)

// sweep walks over the pool, counts it, and if remove is set deletes what no backup names and has lain
// there for some time. One directory of the pool and one line of each list are in memory.
func (p *pruner) sweep(ctx context.Context, remove bool) error {
	var lists []*listCursor
	if remove {
		var err error
		if lists, err = p.openLists(ctx); err != nil {
			return err
		}
	}
	defer closeAll(lists)
	own, err := openTree(p.store.Path(poolName))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sweep the pool: %w", err)
	}
	defer own.close()
	var held usage
	var unread error
	note := func(err error) { unread = errors.Join(unread, err) }
	err = own.leaves(func(leaf string) error {
		blobs, err := own.leaf(leaf, note)
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		if p.done != nil {
			p.done(sizeOf(blobs))
		}
		for _, b := range blobs {
			needed, err := namedBy(lists, b.sum)
			if err != nil {
				return err
			}
			if remove && !needed {
				removed, err := p.removeBlob(ctx, own, b.sum)
				if err != nil {
					return err
				}
				if removed {
					p.swept.Blobs++
					p.swept.Bytes += b.size
					continue
				}
			}
			held.Blobs++
			held.Bytes += b.size
		}
		return nil
	}, note)
	if err := errors.Join(err, unread, finish(lists)); err != nil {
		return fmt.Errorf("sweep the pool: %w", err)
	}
	if p.dry {
		return nil
	}
	return saveJSON(ctx, p.store, usageName, held)
}

func sizeOf(blobs []blob) (bytes int64) {
	for _, b := range blobs {
		bytes += b.size
	}
	return bytes
}

func (p *pruner) removeBlob(ctx context.Context, own *tree, s sum) (bool, error) {
	info, err := own.root.Lstat(s.path())
	if err != nil || p.now.Sub(info.ModTime()) < grace {
		return false, err
	}
	if p.dry {
		return true, nil
	}
	return true, p.store.Remove(ctx, path.Join(poolName, s.path()))
}

// openLists opens the lists of all backups, and refuses if any cannot be had.
func (p *pruner) openLists(ctx context.Context) (lists []*listCursor, err error) {
	backups, err := list(ctx, p.store)
	if err != nil {
		return nil, err
	}
	names, err := p.store.Dirs(ctx)
	if err != nil {
		return nil, err
	}
	for _, id := range names {
		// What is named like a backup but has no manifest may be one that somebody is mending.
		if isID(id) && !slices.ContainsFunc(backups, func(b Listed) bool { return b.ID == id }) {
			return nil, fmt.Errorf("%w (%s has no manifest)", ErrUnreadable, id)
		}
	}
	for _, b := range backups {
		if b.Manifest == nil {
			closeAll(lists)
			return nil, fmt.Errorf("%w (%s: %w)", ErrUnreadable, b.ID, b.Problem)
		}
		if !b.Manifest.Has(Files) || p.leaving[b.ID] {
			continue
		}
		cursor, err := openList(ctx, p.store, b.Manifest)
		if err != nil {
			closeAll(lists)
			return nil, fmt.Errorf("%w (%s: %w)", ErrUnreadable, b.ID, err)
		}
		lists = append(lists, cursor)
	}
	return lists, nil
}
