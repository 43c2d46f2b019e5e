package restore

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/backup/tree"
)

// keptConfig is where files of the host's configuration lie that gave way to those of the backup.
func (j *Journal) keptConfig() string { return strings.TrimSuffix(j.file.Path, ".json") + "-config" }

// putHostConfig puts files of the host's configuration where there are none, and where it was asked for also
// in the place of other ones, which are kept. The services must find no fault with the result. It comes first of all, so
// that a configuration that does not work here is known before hours are spent; used it is only later.
func (r *restoration) putHostConfig(ctx context.Context) error {
	if !r.has(backup.Config) {
		return nil
	}
	if err := r.putFiles(ctx, func(p *configPutter) error { return p.note() }, atOnce); err != nil {
		return err
	}
	r.noteUnused()
	return testConfigured(ctx, &r.Options, r.journal)
}

// schedules start programs by themselves: they come last, when the site is there.
var schedules = []string{"/etc/crontab", "/etc/cron.d", "/var/spool/cron"}

func later(name string) bool {
	return slices.ContainsFunc(schedules, func(dir string) bool { return within("/"+name, dir) })
}

func atOnce(name string) bool { return !later(name) }

// putFiles puts those of the wanted files that are due.
func (r *restoration) putFiles(ctx context.Context, before func(*configPutter) error, due func(name string) bool) error {
	root, err := os.OpenRoot(r.Root)
	if err != nil {
		return err
	}
	defer root.Close()
	put := &configPutter{restoration: r, root: root, owner: owners(), due: due}
	if err := before(put); err != nil {
		return err
	}
	if !slices.ContainsFunc(slices.Collect(maps.Keys(r.wanted)), due) {
		return nil
	}
	return r.eachConfigFile(ctx, put.put)
}

type configPutter struct {
	*restoration
	root  *os.Root
	owner func(*tar.Header) (uid, gid int)
	due   func(name string) bool
}

// note writes down all that will be put, and keeps what gives way, before anything is put.
func (p *configPutter) note() error {
	p.wanted = map[string]bool{}
	for _, file := range p.plan.config {
		switch {
		case file.State == missing:
			for _, parent := range parents(file.Name) {
				if _, err := p.root.Lstat(parent); errors.Is(err, fs.ErrNotExist) && !slices.Contains(p.journal.Put, parent) {
					p.journal.Put = append(p.journal.Put, parent)
				}
			}
			if !slices.Contains(p.journal.Put, file.Name) {
				p.journal.Put = append(p.journal.Put, file.Name)
			}
		case file.State == different && !file.Dir && p.wantsConfig():
			if err := p.keepOld(file.Name); err != nil {
				return err
			}
		default:
			continue
		}
		p.wanted[file.Name] = true
	}
	return p.journal.save()
}

// parents are the directories on the way to a path, outermost first.
func parents(name string) (all []string) {
	for at := path.Dir(name); at != "."; at = path.Dir(at) {
		all = append(all, at)
	}
	slices.Reverse(all)
	return all
}

func (p *configPutter) put(header *tar.Header, content io.Reader) error {
	name := cleanName(header)
	if !p.wanted[name] || !p.due(name) {
		return nil
	}
	if behindLink(p.root, name) {
		return fmt.Errorf("%w: it lies behind a link that the archive has brought", tree.ErrHostile)
	}
	for _, parent := range parents(name) {
		err := p.root.Mkdir(parent, 0o755)
		if err == nil {
			err = p.root.Chmod(parent, 0o755) // not left to the umask
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	uid, gid := p.owner(header)
	return writeHostFile(p.root, name, header, content, uid, gid)
}

// keepOld copies what gives way to the state directory, for the way back.
func (p *configPutter) keepOld(name string) error {
	info, err := p.root.Lstat(name)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return fmt.Errorf("/%s is a directory, and a file in the backup: move it out of the way", name)
	}
	kept := filepath.Join(p.journal.keptConfig(), name)
	if err := os.MkdirAll(filepath.Dir(kept), 0o700); err != nil {
		return err
	}
	to, err := os.OpenRoot(p.journal.keptConfig())
	if err != nil {
		return err
	}
	defer to.Close()
	p.journal.Replaced = append(p.journal.Replaced, name)
	return carry(p.root, to, name)
}

// writeHostFile writes a file, link or directory of the host's configuration beside its name and renames it there.
func writeHostFile(root *os.Root, name string, header *tar.Header, content io.Reader, uid, gid int) error {
	if header.Typeflag == tar.TypeDir {
		if err := root.Mkdir(name, 0o700); err != nil {
			return err
		}
		return errors.Join(root.Lchown(name, uid, gid), root.Chmod(name, header.FileInfo().Mode().Perm()&^0o002))
	}
	temporary := path.Join(path.Dir(name), ".mxp-"+path.Base(name))
	if err := root.RemoveAll(temporary); err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeSymlink:
		if err := errors.Join(root.Symlink(header.Linkname, temporary), root.Lchown(temporary, uid, gid)); err != nil {
			return err
		}
	case tar.TypeReg:
		file, err := root.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(file, content)
		err = errors.Join(err, file.Chown(uid, gid), file.Chmod(header.FileInfo().Mode().Perm()&^0o002), file.Sync(), file.Close())
		if err != nil {
			return errors.Join(err, root.Remove(temporary))
		}
	case tar.TypeLink:
		if err := root.Link(path.Clean(header.Linkname), temporary); err != nil {
			return err
		}
	}
	return root.Rename(temporary, name)
}

// takeBackHostConfig puts back what gave way, removes what was put where nothing was, and lets the services that may use
// it already forget it.
func (u *undoing) takeBackHostConfig(ctx context.Context) error {
	j := u.journal
	if len(j.Replaced)+len(j.Put) == 0 {
		return nil
	}
	root, err := os.OpenRoot(u.Root)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, name := range slices.Backward(j.Put) {
		// A directory in which something lies by now was not made in vain.
		if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTEMPTY) {
			return fmt.Errorf("remove /%s, which the restore has put there: %w", name, err)
		}
	}
	if len(j.Replaced) > 0 {
		kept, err := os.OpenRoot(j.keptConfig())
		if err != nil {
			return err
		}
		defer kept.Close()
		for _, name := range j.Replaced {
			// What was not kept yet when the restore was broken off has not given way either.
			if _, err := kept.Lstat(name); errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err := carry(kept, root, name); err != nil {
				return fmt.Errorf("put /%s back: %w", name, err)
			}
		}
	}
	if err := useConfigured(ctx, &u.Options, j); err != nil {
		u.Logger.Warn("the configuration of the host is as it was, but a service may still use the other one", "err", err)
	}
	j.Put, j.Replaced = nil, nil
	return j.save()
}
