package backup

import (
	"context"
	"fmt"
	"io"
	"path"
)

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
