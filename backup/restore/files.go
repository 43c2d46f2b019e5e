package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/backup/tree"
)

// stageFiles unpacks the data beside the live one, and makes the place for the content files.
func (r *restoration) stageFiles(ctx context.Context) (err error) {
	if !r.has(backup.Files) {
		return nil
	}
	if err := r.ensureDataroot(); err != nil {
		return err
	}
	place, err := r.dataPlace()
	if err != nil {
		return err
	}
	if r.dataroot, err = r.stage(ctx, backup.Files, place); err != nil {
		return err
	}
	if !r.hasContent() {
		return nil
	}
	if err := r.ensureFiledir(); err != nil {
		return fmt.Errorf("make filedir: %w", err)
	}
	r.journal.Scratch = append(r.journal.Scratch, filepath.Join(r.target.filedir, tree.FillName))
	return r.journal.save()
}

func (r *restoration) hasContent() bool {
	f := r.Reader.Manifest.Filedir
	return f != nil && f.Blobs > 0
}

// addContent adds the content files that the live site lacks. It runs beside the load of the database, and so leaves
// the journal alone.
func (r *restoration) addContent(ctx context.Context) error {
	if !r.has(backup.Files) {
		return nil
	}
	if r.hasContent() {
		if err := r.fill(ctx); err != nil {
			return err
		}
	}
	return r.adopt()
}

// adopt gives what had to be made the mode and owner that the backup has of it, and a filedir the files in it that are
// no content files. The backup of a filedir elsewhere has neither.
func (r *restoration) adopt() error {
	dataroot, err := os.OpenRoot(r.target.dataroot)
	if err != nil {
		return err
	}
	defer dataroot.Close()
	info, err := r.dataroot.root.Stat(".")
	if err != nil {
		return err
	}
	if slices.Contains(r.journal.Made, r.target.dataroot) {
		if err := like(dataroot, ".", info); err != nil {
			return err
		}
	}
	name, err := filepath.Rel(r.target.dataroot, r.target.filedir)
	if err != nil || !filepath.IsLocal(name) {
		return nil //nolint:nilerr // a filedir elsewhere is not in the archive of the data
	}
	staged, err := fs.ReadDir(r.dataroot.root.FS(), name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if r.madeFiledir {
		info, err := r.dataroot.root.Stat(name)
		if err == nil {
			err = like(dataroot, name, info)
		}
		if err != nil {
			return err
		}
	}
	for _, entry := range staged {
		path := filepath.Join(name, entry.Name())
		if _, err := dataroot.Lstat(path); !entry.Type().IsRegular() || !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := carry(r.dataroot.root, dataroot, path); err != nil {
			return err
		}
	}
	return nil
}

// dataPlace is where the new data is staged: always within the dataroot, which is often a mount point itself. A file
// system that holds only content files needs no place: they are added to it where they are.
func (r *restoration) dataPlace() (tree.Place, error) {
	place, err := tree.Survey(r.target.dataroot)
	if err != nil {
		return place, err
	}
	place.Stage = place.Live
	place.Mounts = slices.DeleteFunc(place.Mounts, func(mount string) bool {
		return r.stays(mount) || sameDir(filepath.Join(place.Live, mount), r.target.filedir)
	})
	return place, nil
}

// fill adds the content files. Each is hashed on its way; those that are there already as well, unless they are trusted.
func (r *restoration) fill(ctx context.Context) error {
	f := r.Reader.Manifest.Filedir
	root, err := os.OpenRoot(r.target.filedir)
	if err != nil {
		return fmt.Errorf("open filedir: %w", err)
	}
	defer root.Close()
	user := r.target.user
	filled, err := tree.Fill(ctx, root, tree.FillOptions{
		Blobs: r.blobs(ctx), LocalPath: r.blobPath, TrustLive: r.TrustLive,
		Open:    r.openBlob,
		UID:     int(user.UID),
		GID:     int(user.GID),
		DirMode: safeMode(f.DirMode, 0o770), FileMode: safeMode(f.FileMode&0o664, 0o660),
		Progress: r.run.Add, Logger: r.Logger,
	})
	if err != nil {
		return fmt.Errorf("add content files: %w", err)
	}
	if settled := filled.Had + filled.Added + filled.Repaired; settled != f.Blobs {
		return fmt.Errorf("add content files: %d are there and %d were backed up", settled, f.Blobs)
	}
	r.Logger.Info("content files are complete", "had", filled.Had, "added", filled.Added, "repaired", filled.Repaired, "bytes", filled.Bytes)
	return nil
}

// ensureDataroot makes a dataroot that is gone.
func (r *restoration) ensureDataroot() error {
	if _, err := os.Stat(r.target.dataroot); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := r.ensureDir(r.target.dataroot, 0o770); err != nil {
		return fmt.Errorf("make dataroot: %w", err)
	}
	return os.Lchown(r.target.dataroot, int(r.target.user.UID), int(r.target.user.GID))
}

// ensureFiledir makes a filedir that is gone. It usually lies in dataroot, which belongs to the site's user.
func (r *restoration) ensureFiledir() error {
	if _, err := os.Stat(r.target.filedir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !within(r.target.filedir, r.target.dataroot) {
		if err := r.ensureDir(r.target.filedir, 0o770); err != nil {
			return err
		}
		return os.Lchown(r.target.filedir, int(r.target.user.UID), int(r.target.user.GID))
	}
	r.madeFiledir = true
	root, err := os.OpenRoot(r.target.dataroot)
	if err != nil {
		return err
	}
	defer root.Close()
	name := strings.TrimPrefix(strings.TrimPrefix(r.target.filedir, r.target.dataroot), "/")
	if err := root.MkdirAll(name, 0o770); err != nil {
		return err
	}
	if err := root.Chmod(name, 0o770); err != nil { // not left to the umask
		return err
	}
	return root.Lchown(name, int(r.target.user.UID), int(r.target.user.GID))
}

// safeMode is a mode as recorded, in the bits of stat(2), but never writable for everybody.
func safeMode(recorded int64, otherwise uint32) uint32 {
	if recorded == 0 {
		return otherwise
	}
	return uint32(recorded&0o2775) | otherwise&0o700
}
