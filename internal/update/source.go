package update

import (
	"archive/tar"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/backup"
)

// source is where new code comes from.
type source interface {
	words() string
	// resolve finds out what there is; current says that the site has it already.
	resolve(ctx context.Context, u *update) (current bool, err error)
	// write puts the whole of Moodle's own code into an archive.
	write(ctx context.Context, u *update, to *tar.Writer) error
	// finish makes the staged tree what this source makes of a tree, once everything is in it.
	finish(ctx context.Context, u *update) error
}

// chooseSource decides by the command line, the configuration and the code that is there, in this order.
func (u *update) chooseSource() (source, error) {
	wanted := u.Update.Source
	switch {
	case u.To != "" && isArchive(u.To):
		path, err := filepath.Abs(u.To)
		return &archive{path: path}, err
	case u.To != "" && wanted == "none":
		wanted = "git"
	case u.To == "" && len(u.Plugins) > 0:
		wanted = "none" // plugins alone: Moodle stays as it is
	case wanted == "" && (u.checkout != nil || u.To != ""):
		wanted = "git"
	}
	switch wanted {
	case "git":
		return u.gitSource()
	case "archive":
		return &archive{path: u.Update.Archive, sum: u.Update.SHA256}, nil
	}
	return &present{copy: len(u.Plugins) > 0}, nil
}

func isArchive(path string) bool {
	for _, ending := range []string{".tgz", ".tar.gz", ".zip"} {
		if strings.HasSuffix(path, ending) {
			return true
		}
	}
	return false
}

// present is the code that is there: its database is brought to it, as by hand, and plugins may be put into a copy of it.
type present struct{ copy bool }

func (p *present) words() string {
	if p.copy {
		return "the code that is there, with other plugins"
	}
	return "the code that is there"
}

// resolve asks the code: with no other plugins there is only something to do where an upgrade is pending.
func (p *present) resolve(ctx context.Context, u *update) (bool, error) {
	if p.copy {
		return false, nil
	}
	pending, err := u.cli("").IsPending(ctx)
	return !pending, err
}

func (p *present) write(_ context.Context, u *update, to *tar.Writer) error {
	live, err := os.OpenRoot(u.Site.Dir)
	if err != nil {
		return fmt.Errorf("open the code: %w", err)
	}
	defer live.Close()
	return copyInto(to, live, ".", ".", func(path string) bool { return u.replaced(path) })
}

func (*present) finish(context.Context, *update) error { return nil }

// replaced says whether a path of the live code is that of a plugin that comes anew.
func (u *update) replaced(path string) bool {
	for _, plugin := range u.Plugins {
		if dir := u.disk.Dirs[plugin.Component]; dir != "" && path == dir {
			return true
		}
	}
	return false
}

func refusedSource(happened, do string) error {
	return &backup.RefusedError{Happened: happened, Means: "there is no new code to update to", Do: do}
}
