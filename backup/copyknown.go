package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

// openKnown brings sealed.list up to date: with what a copy that was killed has written of a new one, and
// if it is lost with the lists of ciphertext in the bucket. An object that is in none of them is sent again:
// nobody here can read it, or say whether it is what it should be.
func (c *copier) openKnown(ctx context.Context) error {
	if c.To.suffix == "" {
		return nil
	}
	known, end, err := c.knownBefore(ctx)
	if err != nil {
		return err
	}
	defer end()
	newer := ofSlice(nil)
	if c.knows {
		var endNewer func()
		if newer, endNewer, err = readObjects(ctx, c.local, sealedNewName, true); err != nil {
			return err
		}
		defer endNewer()
	}
	return c.replaceKnown(ctx, func(add func(object) error) error {
		return meetObjects(ctx, func(_ string, found []*object) error { return add(*firstOf(found)) }, newer, known)
	})
}

func (c *copier) knownBefore(ctx context.Context) (next func() (object, error), end func(), err error) {
	_, err = os.Lstat(c.local.Path(sealedName))
	if !c.knows || errors.Is(err, os.ErrNotExist) {
		listed, err := c.listedCiphertext(ctx)
		return listed.read(), listed.close, err
	}
	return readObjects(ctx, c.local, sealedName, true)
}

// listedCiphertext is what all lists of ciphertext in the bucket name, the newest one first.
func (c *copier) listedCiphertext(ctx context.Context) (all *objectSpill, err error) {
	var names []string
	for _, id := range slices.Backward(c.there.ids()) {
		if _, there := c.there.size(path.Join(id, ciphertextName)); there {
			names = append(names, path.Join(id, ciphertextName))
		}
	}
	for few := range slices.Chunk(names, manyLists) {
		more, err := c.mergeCiphertext(ctx, few, all)
		all.close()
		if err != nil {
			return nil, err
		}
		all = more
	}
	return all, nil
}

func (c *copier) mergeCiphertext(ctx context.Context, names []string, newer *objectSpill) (*objectSpill, error) {
	nexts := []func() (object, error){newer.read()}
	for _, name := range names {
		list, err := openCompressed(ctx, c.To.objects, name)
		if err != nil {
			return nil, err
		}
		defer list.close()
		nexts = append(nexts, func() (object, error) {
			o, err := list.next()
			if err != nil && !errors.Is(err, io.EOF) && ctx.Err() == nil && !isAnswer(err) {
				c.Logger.Warn("a list of ciphertext cannot be read to its end; what only it names is sent again", "list", name, "err", err)
				err = io.EOF
			}
			return o, err
		})
	}
	return spillObjects(c.dir, func(add func(object) error) error {
		return meetObjects(ctx, func(_ string, found []*object) error { return add(*firstOf(found)) }, nexts...)
	})
}

// replaceKnown writes sealed.list anew.
func (c *copier) replaceKnown(ctx context.Context, produce func(add func(object) error) error) error {
	if err := saveObjects(ctx, c.local, sealedName, produce); err != nil {
		return fmt.Errorf("write down what is known of encrypted objects: %w", err)
	}
	return c.local.Remove(ctx, sealedNewName)
}

// saveObjects stores a list on this host.
func saveObjects(ctx context.Context, s store.Store, name string, produce func(add func(object) error) error) error {
	from, to := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w := newObjectWriter(to)
		err := produce(w.add)
		if err == nil {
			err = w.to.Flush()
		}
		_ = to.CloseWithError(err)
	}()
	_, err := s.Save(ctx, name, store.Unknown, from)
	_ = from.CloseWithError(errors.Join(err, io.ErrClosedPipe))
	<-done
	return err
}
