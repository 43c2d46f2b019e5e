package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	"github.com/klauspost/compress/zstd"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

// poolObject is what a content file is called in the bucket.
func poolObject(b blob, suffix string) object {
	return object{name: path.Join(poolName, b.sum.path()) + suffix, size: b.size}
}

// poolObjects are the content files that a list names, as they are called in the bucket.
func poolObjects(c *listCursor, suffix string) func() (object, error) {
	return func() (object, error) {
		if c.ended {
			return object{}, io.EOF
		}
		o := poolObject(c.head, suffix)
		return o, c.advance()
	}
}

// manyLists is how many compressed lists are open at a time: each takes some megabytes of memory.
const manyLists = 8

// unionOf writes down once each all content files that the lists of several backups name.
func unionOf(ctx context.Context, dir string, s opener, manifests []*Manifest, suffix string) (*objectSpill, error) {
	var all *objectSpill
	for len(manifests) > 0 {
		few := manifests[:min(manyLists, len(manifests))]
		manifests = manifests[len(few):]
		more, err := mergeLists(ctx, dir, s, few, suffix, all)
		all.close()
		if err != nil {
			return nil, err
		}
		all = more
	}
	return all, nil
}

func mergeLists(ctx context.Context, dir string, s opener, manifests []*Manifest, suffix string, before *objectSpill) (*objectSpill, error) {
	var lists []*listCursor
	defer func() { closeAll(lists) }()
	nexts := []func() (object, error){before.read()}
	for _, m := range manifests {
		if _, listed := m.File(listName); !listed {
			continue
		}
		list, err := openList(ctx, s, m)
		if err != nil {
			return nil, fmt.Errorf("read the list of content files of backup %s: %w", m.ID, err)
		}
		lists = append(lists, list)
		nexts = append(nexts, poolObjects(list, suffix))
	}
	return spillObjects(dir, func(add func(object) error) error {
		return meetObjects(ctx, func(_ string, found []*object) error { return add(*firstOf(found)) }, nexts...)
	})
}

func firstOf(found []*object) *object {
	for _, o := range found {
		if o != nil {
			return o
		}
	}
	return nil
}

// saveCompressed stores a list of objects, compressed, under a name of s. It is compressed into a temporary
// file first: a bucket wants to know how long an object will be.
func saveCompressed(ctx context.Context, s store.Store, dir, name string, produce func(add func(object) error) error) error {
	file, err := os.CreateTemp(dir, store.Prefix+"objects-*")
	if err != nil {
		return err
	}
	defer file.Close()
	if err := os.Remove(file.Name()); err != nil {
		return err
	}
	err = compression{}.forLists().compress(file, func(to io.Writer) error {
		w := newObjectWriter(to)
		if err := produce(w.add); err != nil {
			return err
		}
		return w.to.Flush()
	})
	if err != nil {
		return err
	}
	size, err := file.Seek(0, io.SeekCurrent)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err == nil {
		_, err = s.Save(ctx, name, size, file)
	}
	return err
}

// compressedObjects reads a list that saveCompressed has stored.
type compressedObjects struct {
	*objectReader
	file    io.Closer
	decoder *zstd.Decoder
}

func openCompressed(ctx context.Context, s opener, name string) (*compressedObjects, error) {
	file, err := s.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	decoder, err := newDecoder(file)
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return &compressedObjects{newObjectReader(decoder), file, decoder}, nil
}

func (c *compressedObjects) close() {
	c.decoder.Close()
	_ = c.file.Close()
}
