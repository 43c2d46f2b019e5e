package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

// copyFiles fills the pool while the site goes on. Most of the work is done here.
func (c *creation) copyFiles(ctx context.Context) (err error) {
	if err := c.takeUsage(ctx); err != nil {
		return err
	}
	if c.pool, err = newPool(c.Store, filedir(c.Site), c.run, c.Logger); err != nil {
		return err
	}
	if c.lackingAll {
		return c.pool.copyFrom(ctx, func(_ context.Context, each func(blob, bool) error) (err error) {
			for _, b := range c.lacking {
				err = errors.Join(err, each(b, true))
			}
			return err
		})
	}
	return c.pool.copy(ctx, func(blob, bool) error { return nil })
}

func (c *creation) dump(ctx context.Context) (err error) {
	if c.named, err = newReferences(c.Store.Path(stagingName)); err != nil {
		return fmt.Errorf("keep a list of content files: %w", err)
	}
	d := &dumper{store: c.Store, session: c.session, client: c.client, site: c.Site, run: c.run, log: c.Logger, named: c.named,
		compression: compressionOf(c.Config.Zstd)}
	if c.has(Files) {
		d.snapshot = func() { c.beginDelta(ctx) }
	}
	file, content, err := d.dump(ctx)
	if err != nil {
		return err
	}
	c.manifest.Files = append(c.manifest.Files, c.shareEqual(file))
	c.manifest.Database = content
	if d.strange > 0 {
		c.warn("%d rows of the table files have a content hash that is none", d.strange)
	}
	return nil
}

// archives makes one archive of each wanted component.
func (c *creation) archives(ctx context.Context) error {
	for _, component := range c.ordered() {
		if component == Database {
			continue
		}
		var extra []extraFile
		if component == Config {
			extra = c.accountFile(ctx)
		}
		file, err := c.archive(ctx, component, extra)
		if err != nil {
			return fmt.Errorf("archive the %s: %w", component, err)
		}
		c.manifest.Files = append(c.manifest.Files, file)
		c.At("archive " + component)
	}
	return nil
}

// accountFile is database-account.sql. A backup without it is worth having.
func (c *creation) accountFile(ctx context.Context) []extraFile {
	if c.session == nil {
		return nil
	}
	content, err := c.session.accountSQL(ctx, c.Site.Config.DBUser)
	if err != nil {
		c.warn("the database account of the site is not in the backup: %v", err)
		return nil
	}
	return []extraFile{{"./database-account.sql", content}}
}

// archive makes one archive, or shares that of the previous backup if nothing has changed: told by the
// times and inodes of all its files, as restic and borg do, and else by its content.
func (c *creation) archive(ctx context.Context, component string, extra []extraFile) (File, error) {
	name := archiveNames[component]
	a := c.archiveOf(component, extra, c.run)
	measured, err := a.measure(ctx, c.Clock())
	if err != nil {
		return File{}, err
	}
	before, known := c.previousFile(name)
	if known && measured.state != "" && measured.state == before.State {
		if shared, err := c.share(before, measured.state); err == nil {
			return shared, nil
		}
	}
	var notes, special notes
	a.special = special.add
	file, err := compressionOf(c.Config.Zstd).save(ctx, c.Store, name, component, func(to io.Writer) error {
		return a.write(ctx, to, notes.add)
	})
	if err != nil {
		return File{}, err
	}
	if special.count > 0 {
		c.note("%s: %s", name, special.text())
	}
	if notes.count > 0 {
		c.warn("%s: %s", name, notes.text())
	}
	file.State = measured.state
	return c.shareEqual(file), nil
}

// shareEqual shares the file of the previous backup if what has just been stored is the same.
func (c *creation) shareEqual(file File) File {
	before, known := c.previousFile(file.Name)
	if known && file.ContentSHA256 == before.ContentSHA256 {
		if shared, err := c.share(before, file.State); err == nil {
			return shared
		}
	}
	return file
}

// share makes the file of the previous backup one of this backup too.
func (c *creation) share(before File, state string) (File, error) {
	if err := c.Store.Link(path.Join(c.previous.ID, before.Name), path.Join(stagingName, before.Name)); err != nil {
		return File{}, err
	}
	if before.SameAs == "" {
		before.SameAs = c.previous.ID
	}
	before.State = state
	return before, nil
}

// notes keeps the first few remarks on an archive.
type notes struct {
	count int
	first []string
}

func (n *notes) add(text string) {
	if n.count++; len(n.first) < fewNames {
		n.first = append(n.first, strings.ToValidUTF8(text, "?"))
	}
}

func (n *notes) text() string {
	return fmt.Sprintf("%d files not taken as they are: %s", n.count, strings.Join(n.first, "; "))
}

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

// describe adds what the site is, and the instructions for people.
func (c *creation) describe(ctx context.Context) error {
	site := c.Site
	c.manifest.Moodle = Moodle{
		WWWRoot: site.Config.WWWRoot, Version: site.Version.Number, Release: site.Version.Release, Branch: site.Version.Branch,
		Public: site.Version.Public, GitCommit: gitCommit(site.Dir), PHP: site.Config.PHPVersion, User: site.User,
		Code: site.Dir, Dataroot: site.Config.DataRoot, Filedir: filedir(site), FileSystem: site.Config.FileSystemClass,
	}
	if c.session != nil {
		plugins, err := c.session.plugins(ctx, site.Table("config_plugins"))
		if err != nil {
			return err
		}
		c.manifest.Moodle.Plugins = plugins
	}
	text, err := instructions(c.manifest, c.Store.Path(c.manifest.ID), c.Store.Path(poolName))
	if err != nil {
		return err
	}
	digest := newMeter()
	_, _ = digest.Write(text)
	c.manifest.Files = append(c.manifest.Files, File{
		Name: restoreName, Size: digest.size, SHA256: digest.sum(), ContentSize: digest.size, ContentSHA256: digest.sum(),
	})
	_, err = c.Store.Save(ctx, path.Join(stagingName, restoreName), digest.size, bytes.NewReader(text))
	return err
}

// gitCommit is what a checkout has checked out, read without running git on files of others; empty for a
// tree that is none.
func gitCommit(dir string) string {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return ""
	}
	defer root.Close()
	read := func(name string) string {
		file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return ""
		}
		defer file.Close()
		content, _ := io.ReadAll(io.LimitReader(file, 4<<20))
		return strings.TrimSpace(string(content))
	}
	head := read(".git/HEAD")
	reference, symbolic := strings.CutPrefix(head, "ref: ")
	if symbolic {
		head = read(path.Join(".git", path.Clean("/"+reference)))
		for line := range strings.SplitSeq(read(".git/packed-refs"), "\n") {
			if commit, name, found := strings.Cut(line, " "); head == "" && found && name == reference {
				head = commit
			}
		}
	}
	if len(head) != 40 && len(head) != 64 || strings.Trim(head, "0123456789abcdef") != "" {
		return ""
	}
	return head
}
