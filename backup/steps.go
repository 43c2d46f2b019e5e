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
