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
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// prepare goes through the plan once more, now that nobody else can change the site, and begins the journal.
func (r *restoration) prepare(ctx context.Context) (err error) {
	if other, err := Unfinished(r.StateDir, r.Reader.Manifest.Site); err != nil || other != nil {
		if err == nil {
			err = &UnfinishedError{Journal: other, Err: errUnfinished}
		}
		return err
	}
	if r.plan, err = MakePlan(ctx, r.Options); err != nil {
		return err
	}
	if err := r.plan.Refusal(); err != nil {
		return err
	}
	r.target = r.plan.target
	r.result.Notes = r.plan.Notes
	r.run.SetTotal(r.work())
	r.journal = newJournal(r.StateDir, r.Reader.Manifest.Site, r.run.ID(), r.Group)
	r.journal.Backup, r.journal.Phase = r.Reader.Manifest.ID, Staging
	r.journal.Started, r.journal.Components = r.Clock().UTC(), r.plan.Components
	r.journal.Dataroot, r.journal.Code, r.journal.User = r.target.dataroot, r.target.code, r.target.user.Name
	return r.journal.save()
}

// work is how many bytes there are to do.
func (r *restoration) work() (bytes int64) {
	m := r.Reader.Manifest
	for _, component := range r.plan.Components {
		file, _ := m.File(backup.FileOf(component))
		bytes += file.ContentSize
	}
	if r.has(backup.Files) && m.Filedir != nil {
		bytes += m.Filedir.Size
	}
	return bytes
}

// stageCode unpacks the code beside the live one, and reads the restored site's configuration.
func (r *restoration) stageCode(ctx context.Context) (err error) {
	if !r.has(backup.Code) {
		if r.Live == nil {
			return &backup.RefusedError{
				Happened: "there is no site at " + r.target.code, Means: "without its code nobody knows how the rest of it is reached",
				Do: "restore the code as well: leave --only away, or add code to it",
			}
		}
		r.site = r.Live
		return nil
	}
	place, err := tree.Survey(r.target.code)
	if err != nil {
		return err
	}
	if err := r.ensureDir(filepath.Dir(r.target.code), 0o755); err != nil {
		return err
	}
	if r.code, err = r.stage(ctx, backup.Code, place); err != nil {
		return err
	}
	if err := r.stageConfig(); err != nil {
		return fmt.Errorf("config.php: %w", err)
	}
	return r.readStaged(ctx)
}

// stageConfig settles which config.php the restored site has: the live one where there is one that can be
// read, for passwords may have been changed since, else that of the backup; with the new address, if it gets one.
func (r *restoration) stageConfig() error {
	const name = "config.php"
	if r.Live != nil {
		live, err := os.OpenRoot(r.Live.Dir)
		if err != nil {
			return err
		}
		defer live.Close()
		if err := carry(live, r.code.root, name); err != nil {
			return err
		}
	}
	if r.target.moved == "" {
		return nil
	}
	content, err := r.code.root.ReadFile(name)
	if err != nil {
		return err
	}
	changed, err := moodle.ReplaceWWWRoot(string(content), r.target.wwwroot)
	if err != nil {
		return err
	}
	return rewrite(r.code.root, name, []byte(changed))
}

// carry puts a file or link of one tree into another, with its owner and mode, in place of what is there.
func carry(from, to *os.Root, name string) error {
	info, err := from.Lstat(name)
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		target, err := from.Readlink(name)
		if err != nil {
			return err
		}
		return errors.Join(to.RemoveAll(name), to.Symlink(target, name))
	}
	content, err := from.ReadFile(name)
	if err != nil {
		return err
	}
	return putFile(to, name, content, info)
}

// readStaged reads the restored site as it will be in its place.
func (r *restoration) readStaged(ctx context.Context) error {
	entry := r.Configured
	entry.Name, entry.Dir, entry.User = r.Reader.Manifest.Site, r.code.path(newTree), r.target.user.Name
	if r.Live != nil {
		entry.PHP = r.Live.PHP
	}
	opened, err := r.code.letIn(r.target.user)
	if err != nil {
		return err
	}
	defer opened()
	finder := &moodle.Finder{Root: r.Root, PoolFiles: r.PoolFiles, Group: -1, Logger: r.Logger}
	found, problems := finder.Find(ctx, []config.Site{entry})
	if len(found) != 1 {
		var all []error
		for _, problem := range problems {
			all = append(all, problem)
		}
		return fmt.Errorf("read the restored code: %w", errors.Join(all...))
	}
	r.site = found[0]
	r.site.Dir, r.site.Link = r.target.code, r.target.code
	if r.Live != nil {
		r.site.Dir, r.site.Link = r.Live.Dir, r.Live.Link
	}
	c := r.site.Config
	if c.DBName != r.target.database && r.has(backup.Database) || c.Prefix != r.target.prefix && r.has(backup.Database) || c.DataRoot != r.target.dataroot {
		return &backup.RefusedError{
			Happened: fmt.Sprintf("config.php names the database %s and the dataroot %s, and the site goes to %s and %s", c.DBName, c.DataRoot, r.target.database, r.target.dataroot),
			Means:    "the restored site would not find its data", Do: "put config.php right, in " + r.target.code + ", and restore again",
		}
	}
	return nil
}

// stageFiles unpacks the data beside the live one, and adds the content files that the live site lacks.
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
	if err := r.fill(ctx); err != nil {
		return err
	}
	return r.adopt()
}

// adopt gives what had to be made the mode and owner that the backup has of it, and a filedir the files in it that are
// no content files.
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
	if f == nil || f.Blobs == 0 {
		return nil
	}
	if err := r.ensureFiledir(); err != nil {
		return fmt.Errorf("make filedir: %w", err)
	}
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
		DirMode: safeMode(f.DirMode, 0o770), FileMode: safeMode(f.FileMode, 0o660),
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
	root, err := os.OpenRoot(r.target.dataroot)
	if err != nil {
		return err
	}
	defer root.Close()
	name := strings.TrimPrefix(strings.TrimPrefix(r.target.filedir, r.target.dataroot), "/")
	if err := root.MkdirAll(name, 0o770); err != nil {
		return err
	}
	return root.Lchown(name, int(r.target.user.UID), int(r.target.user.GID))
}

// safeMode is a mode as recorded, in the bits of stat(2), but never writable for everybody.
func safeMode(recorded int64, otherwise uint32) uint32 {
	if recorded == 0 {
		return otherwise
	}
	return uint32(recorded&0o2775) | otherwise&0o700 //nolint:gosec // masked
}
