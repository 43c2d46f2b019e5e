package update

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/backup/tree"
	"github.com/moodle-exporter/moodle-exporter/internal/command"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

const stagingPrefix = store.Prefix

// Names in the directory of ours beside the live code.
const (
	newTree = "new"
	oldTree = "old"
	scratch = "scratch" // of code that is tried
)

// staging is the directory of ours beside the live code.
type staging struct {
	dir, name string
	keep      *os.Root // of the directory itself
	root      *os.Root // of the new tree
	like      likeness
}

func (s *staging) path(name string) string { return filepath.Join(s.dir, s.name, name) }

func (s *staging) close() {
	if s != nil {
		_ = s.root.Close()
		_ = s.keep.Close()
	}
}

// letIn lets a user get through to what is given to him in the directory; the tree itself has the owners and modes that it
// will have. Only one group at a time: who is let in later shuts out the one before.
func (s *staging) letIn(user *command.User) error {
	if os.Geteuid() != 0 {
		return nil
	}
	return errors.Join(s.keep.Lchown(".", 0, int(user.GID)), s.keep.Chmod(".", 0o710))
}

func (s *staging) shut() error { return s.keep.Chmod(".", 0o700) }

// stage makes the new code beside the old one: what comes, and what is carried over.
func (u *update) stage(ctx context.Context) error {
	place, err := tree.Survey(u.Site.Link)
	if err != nil {
		return err
	}
	if len(place.Mounts) > 0 {
		return &backup.RefusedError{
			Happened: "something is mounted within the code: " + strings.Join(place.Mounts, ", "), Means: "code that lies on several file systems is not exchanged as a whole",
			Do: "unmount it and copy it into the code",
		}
	}
	if err := u.makeStaging(place); err != nil {
		return fmt.Errorf("make a place for the new code: %w", err)
	}
	if u.source, err = u.chooseSource(); err != nil {
		return err
	}
	if u.plan.UpToDate, err = u.source.resolve(ctx, u); err != nil {
		return err
	}
	u.plan.Source = u.source.words()
	if p, same := u.source.(*present); u.plan.UpToDate || same && !p.copy {
		return u.stageNothing()
	}
	if err := refuseLinkedConfig(u.Site.Dir); err != nil {
		return err
	}
	if err := u.fill(ctx); err != nil {
		return err
	}
	return u.readStaged()
}

// refuseLinkedConfig refuses a config.php that lies elsewhere: root follows no link out of code that belongs to others, and
// the new code is tried with a configuration of its own.
func refuseLinkedConfig(code string) error {
	root, err := os.OpenRoot(code)
	if err != nil {
		return err
	}
	defer root.Close()
	target, err := root.Readlink("config.php")
	if err != nil {
		return nil //nolint:nilerr // no link; whether it can be read is asked elsewhere
	}
	if _, err := root.Stat("config.php"); err == nil {
		return nil
	}
	path := filepath.Join(code, "config.php")
	return &backup.RefusedError{
		Happened: path + " is a link out of the code, to " + target, Means: "no link out of the code is followed when the new code is put together, and nothing was touched",
		Do: "put the file itself there: cp --remove-destination --preserve \"$(readlink -f " + path + ")\" " + path,
	}
}

func (u *update) makeStaging(place tree.Place) (err error) {
	s := &staging{dir: place.Stage, name: stagingPrefix + u.run.ID()}
	u.journal.Scratch = []string{filepath.Join(s.dir, s.name)}
	if err := u.journal.save(); err != nil {
		return err
	}
	live, err := os.OpenRoot(u.Site.Dir)
	if err != nil {
		return err
	}
	defer live.Close()
	if s.like, err = likenessOf(live); err != nil {
		return err
	}
	if s.keep, err = tree.MakeStaging(s.dir, s.name); err != nil {
		return err
	}
	if err = s.keep.Mkdir(newTree, 0o700); err == nil {
		s.root, err = s.keep.OpenRoot(newTree)
	}
	if err != nil {
		return errors.Join(err, s.keep.Close())
	}
	u.staging = s
	return nil
}

// stageNothing is for an update of the database alone.
func (u *update) stageNothing() error {
	after := *u.Site
	u.after, u.fresh = &after, u.disk
	u.plan.To = after.Version
	return nil
}

// fill puts together the new tree.
func (u *update) fill(ctx context.Context) error {
	live, err := os.OpenRoot(u.Site.Dir)
	if err != nil {
		return err
	}
	defer live.Close()
	if err := put(ctx, u.staging.root, func(to *tar.Writer) error { return u.source.write(ctx, u, to) }); err != nil {
		return fmt.Errorf("unpack %s: %w", u.source.words(), err)
	}
	if _, copied := u.source.(*present); !copied {
		if err := u.carry(ctx, live); err != nil {
			return fmt.Errorf("carry over what belongs to this site: %w", err)
		}
	}
	for _, plugin := range u.Plugins {
		if err := u.addPlugin(ctx, plugin); err != nil {
			return fmt.Errorf("put plugin %s into the new code: %w", plugin.Component, err)
		}
	}
	if err := u.source.finish(ctx, u); err != nil {
		return err
	}
	if err := u.compose(ctx); err != nil {
		return err
	}
	return top(live, u.staging.root)
}

// top gives the new tree the owner and mode of the old one.
func top(live, fresh *os.Root) error {
	info, err := live.Stat(".")
	if err != nil {
		return err
	}
	header, err := headerOf(live, ".", ".", info)
	if err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		if err := fresh.Lchown(".", header.Uid, header.Gid); err != nil {
			return err
		}
	}
	return fresh.Chmod(".", info.Mode()&(os.ModePerm|os.ModeSetgid))
}

// readStaged looks what the new tree has become.
func (u *update) readStaged() (err error) {
	after := *u.Site
	if after.Version, err = moodle.ReadVersion(u.staging.path(newTree)); err != nil {
		return fmt.Errorf("read the new code: %w", err)
	}
	if u.fresh, err = moodle.ReadPlugins(u.staging.path(newTree), after.Version); err != nil {
		return fmt.Errorf("read the new code: %w", err)
	}
	u.after, u.plan.To, u.journal.To = &after, after.Version, after.Version.Number
	if _, unpacked := u.source.(*archive); unpacked && after.Version == u.Site.Version && len(u.Plugins) == 0 {
		u.plan.note("the archive holds the version that is there already; its code takes the place of the present one all the same")
	}
	return u.journal.save()
}
