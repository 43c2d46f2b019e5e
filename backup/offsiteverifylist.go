package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

// readLists fetches the lists of all copies and proves them. They are read more than once and beside much
// else, so they are kept, compressed as they are, in temporary files.
func (v *offsiteVerifier) readLists(ctx context.Context) error {
	for _, c := range v.copies {
		if c.manifest == nil || !c.wanted {
			continue
		}
		if err := v.readList(ctx, c); err != nil {
			return err
		}
		if _, listed := v.there.size(path.Join(c.id, ciphertextName)); listed && c.suffix != "" {
			if err := v.readCiphertext(ctx, c); err != nil {
				return err
			}
		}
	}
	return nil
}

// readList fetches the list of content files of one copy.
func (v *offsiteVerifier) readList(ctx context.Context, c *remoteCopy) error {
	want, named := c.manifest.File(listName)
	if !named {
		return nil
	}
	file, err := v.fetch(ctx, objectOf(c.manifest, want, ""))
	if errors.Is(err, store.ErrNotFound) {
		return nil // told when all objects are compared
	}
	if err != nil {
		return err
	}
	what, err := readBack(ctx, fetched{file}, listName, want, func(int64) {})
	if err != nil || what != "" {
		if what != "" {
			v.faults[objectOf(c.manifest, want, "")] = what // told when all objects are compared
		}
		return errors.Join(err, file.Close())
	}
	c.list = file
	return nil
}

// readCiphertext fetches the list of ciphertext of one copy, and holds it against manifest and list.
func (v *offsiteVerifier) readCiphertext(ctx context.Context, c *remoteCopy) error {
	file, err := v.fetch(ctx, path.Join(c.id, ciphertextName))
	if errors.Is(err, store.ErrNotFound) {
		v.spoil(c, ciphertextName, "missing")
		return nil
	}
	if err != nil {
		return err
	}
	if err := v.compareCiphertext(ctx, c, file); err != nil {
		_ = file.Close()
		if ctx.Err() != nil {
			return ctx.Err()
		}
		v.spoil(c, ciphertextName, "unreadable: "+err.Error())
		return nil
	}
	c.ciphertext = file
	return nil
}

var errOtherObjects = errors.New("it does not name the objects that the manifest and the list of content files do")

func (v *offsiteVerifier) compareCiphertext(ctx context.Context, c *remoteCopy, file *os.File) error {
	list, err := openCompressed(ctx, fetched{file}, ciphertextName)
	if err != nil {
		return err
	}
	defer list.close()
	wanted := ofSlice(c.files(true))
	if c.list != nil {
		blobs, err := openList(ctx, fetched{c.list}, c.manifest)
		if err != nil {
			return err
		}
		defer closeAll([]*listCursor{blobs})
		wanted = inOrder(wanted, poolObjects(blobs, sealedSuffix))
	}
	unknown := c.list == nil && c.manifest.Has(Files) // what content files there should be
	return meetObjects(ctx, func(name string, found []*object) error {
		want, is := found[0], found[1]
		if unknown && want == nil && isPoolObject(name) && is.sha256 != "" {
			return nil
		}
		if want == nil || is == nil || is.sha256 == "" || is.size <= want.size {
			return fmt.Errorf("%w (%s)", errOtherObjects, name)
		}
		return nil
	}, wanted, list.next)
}

// files are the objects of a copy's files, in order: the encrypted ones with the size of their content, or
// those that are not encrypted with their digests.
func (c *remoteCopy) files(sealed bool) (objects []object) {
	for _, f := range c.manifest.Files {
		name := objectOf(c.manifest, f, c.suffix)
		if isSealed(name) != sealed {
			continue
		}
		objects = append(objects, object{name: name, size: f.Size})
		if !sealed {
			objects[len(objects)-1].sha256 = f.SHA256
		}
	}
	slices.SortFunc(objects, func(a, b object) int { return cmp.Compare(a.name, b.name) })
	return objects
}

// fetch brings an object here, into a file that is gone with its descriptor.
func (v *offsiteVerifier) fetch(ctx context.Context, name string) (*os.File, error) {
	from, err := v.From.objects.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer from.Close()
	file, err := os.CreateTemp(v.dir, store.Prefix+"list-*")
	if err != nil {
		return nil, err
	}
	err = os.Remove(file.Name())
	if err == nil {
		_, err = io.Copy(file, from)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("fetch %s: %w", name, err), file.Close())
	}
	return file, nil
}

// fetched is a file that was brought here, under whatever name it is asked for.
type fetched struct{ file *os.File }

func (f fetched) Open(context.Context, string) (io.ReadCloser, error) {
	return io.NopCloser(io.NewSectionReader(f.file, 0, 1<<62)), nil
}
