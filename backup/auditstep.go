package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"syscall"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

// audit proves that every content file of the snapshot is in the pool, and writes the list of this backup.
func (c *creation) audit(ctx context.Context) error {
	a := &auditor{pool: c.pool}
	if trash, err := openTree(defaulted(c.Site.Config.TrashDir, c.Site.Config.DataRoot, "trashdir")); err == nil {
		defer trash.close()
		a.trash = trash
	}
	from, err := c.site.reader()
	if err != nil {
		return fmt.Errorf("audit the content files: %w", err)
	}
	var away *references
	if c.session != nil {
		if away, err = c.externalFiles(ctx); err != nil {
			return fmt.Errorf("audit the content files: %w", err)
		}
	}
	if away != nil {
		defer away.close()
	}
	if a.away, err = newExternal(away); err != nil {
		return fmt.Errorf("audit the content files: %w", err)
	}
	defer a.away.stop()
	file, err := compressionOf(c.Config.Zstd).forLists().save(ctx, c.Store, listName, Files, func(to io.Writer) error {
		a.list = newListWriter(to)
		return a.audit(ctx, from, c.named)
	})
	if err != nil {
		return fmt.Errorf("audit the content files: %w", err)
	}
	if err := c.pool.batch.Commit(); err != nil {
		return fmt.Errorf("audit the content files: %w", err)
	}
	c.manifest.Files = append(c.manifest.Files, c.shareEqual(file))
	return c.sumUp(ctx, a, away != nil)
}

func (c *creation) sumUp(ctx context.Context, a *auditor, objectfs bool) (err error) {
	result := a.result
	result.NewBlobs, result.NewSize = c.pool.newBlobs.Load(), c.pool.newSize.Load()
	result.Corrupt = c.pool.corruptAll
	if result.Accepted, err = accepted(ctx, c.Store); err != nil {
		return err
	}
	result.DirMode, result.FileMode = c.pool.modes(filedir(c.Site))
	c.manifest.Filedir = &result
	c.reckonExternal(&result, objectfs)
	if c.named == nil {
		c.warn("without the database nobody can tell whether files are missing")
	}
	tell := c.warn
	if result.Missing <= result.Accepted {
		tell = func(format string, values ...any) { c.note(format, values...) }
	}
	if result.Missing > 0 {
		tell("%d content files that the database names are missing from the site (%d accepted), for example %v", result.Missing, result.Accepted, a.lost)
	}
	if result.Aliases > 0 {
		c.warn("%d files that lie outside of Moodle (aliases) have no content in the site", result.Aliases)
	}
	if result.Corrupt > 0 {
		c.warn("%d content files of the site are damaged and were not backed up anew", result.Corrupt)
	}
	if c.pool.unreadable > 0 {
		c.warn("%d parts of the site's filedir could not be read", c.pool.unreadable)
	}
	return nil
}

// forget sets back what the first copy met: the delta copy meets it again if it still holds.
func (p *pool) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.corrupt, p.corruptAll, p.unreadable = nil, 0, 0
}

// modes are those that a restored filedir must have: of the directory, and of one of its files.
func (p *pool) modes(filedir string) (dir, file int64) {
	var s syscall.Stat_t
	if syscall.Stat(filedir, &s) == nil {
		dir = int64(s.Mode & 0o7777)
	}
	stop := errors.New("found one")
	_ = p.site.leaves(func(leaf string) error {
		names, err := p.site.names(leaf)
		if err != nil || len(names) == 0 {
			return nil //nolint:nilerr // the next one will do
		}
		if info, err := p.site.root.Lstat(path.Join(leaf, names[0])); err == nil && info.Mode().IsRegular() {
			file = int64(info.Mode().Perm())
			return stop
		}
		return nil
	}, func(error) {})
	return dir, file
}

// accepted is how many missing files an administrator has accepted.
func accepted(ctx context.Context, s store.Store) (int64, error) {
	var written acceptedMissing
	if err := loadJSON(ctx, s, acceptedName, &written); err != nil {
		return 0, fmt.Errorf("read %s: %w", acceptedName, err)
	}
	return written.Missing, nil
}
