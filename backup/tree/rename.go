package tree

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

func (m Move) do(base dir, p position) error {
	if _, err := m.state(p); err != nil {
		return err
	}
	switch {
	case m.New != "":
		return m.relink(base, p, m.New)
	case m.Inode != 0:
		return m.exchange(base, p)
	case m.Staged == "":
		if p.live && !p.kept {
			return rename(base, m.Live, m.Kept)
		}
		return nil
	case !p.staged:
		return nil
	}
	if p.live {
		aside := m.Kept
		if p.kept {
			aside += strayName
		}
		if err := rename(base, m.Live, aside); err != nil {
			return err
		}
	}
	return rename(base, m.Staged, m.Live)
}

func (m Move) exchange(base dir, p position) error {
	if !p.exchanged {
		swap := rename
		if p.live {
			swap = exchange
		}
		if err := swap(base, m.Staged, m.Live); err != nil {
			return err
		}
		p.staged = p.live
	}
	if p.staged {
		return rename(base, m.Staged, m.Kept)
	}
	return nil
}

func (m Move) undo(base dir, p position) error {
	s, err := m.state(p)
	switch {
	case m.New != "" && err == nil:
		return m.relink(base, p, m.Old)
	case m.Inode != 0 && err == nil:
		return m.unexchange(base, p)
	case err != nil && (p.live || !p.kept): // with the old tree at hand it can be put back where nothing is
		return err
	case s == Done && m.Staged != "" && !p.kept && !m.Fresh:
		return m.lost("what was kept of it is not in %s any more", m.Kept)
	case s == Undone || s == either:
		return nil
	}
	if p.live {
		aside := m.Kept + strayName
		if m.Staged != "" && !p.staged {
			aside = m.Staged
		}
		if err := rename(base, m.Live, aside); err != nil {
			return err
		}
	}
	if p.kept {
		return rename(base, m.Kept, m.Live)
	}
	return nil
}

func (m Move) unexchange(base dir, p position) error {
	if !p.exchanged {
		if p.kept && !p.live {
			return rename(base, m.Kept, m.Live)
		}
		return nil
	}
	if !p.staged {
		if !p.kept {
			return m.lost("what was kept of it is not in %s any more", m.Kept)
		}
		if err := rename(base, m.Kept, m.Staged); err != nil {
			return err
		}
	}
	return exchange(base, m.Staged, m.Live)
}

// relink makes the link lead elsewhere in one step: a new one takes its name.
func (m Move) relink(base dir, p position, target string) error {
	if p.target == target {
		return nil
	}
	parent, name := split(m.Live)
	at, err := base.walk(parent)
	if err != nil {
		return err
	}
	defer at.close()
	old, err := at.stat(name)
	if err != nil {
		return err
	}
	fresh := store.Prefix + "link"
	if err := at.remove(fresh); err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	if err := unix.Symlinkat(target, at.fd, fresh); err != nil {
		return failed("symlink", at.join(fresh), err)
	}
	if err := at.own(fresh, int(old.Uid), int(old.Gid)); err != nil {
		return err
	}
	return failed("rename", at.join(name), unix.Renameat(at.fd, fresh, at.fd, name))
}

// rename moves an entry to a place where nothing is.
func rename(base dir, from, to string) error {
	return renameWith(base, from, to, unix.RENAME_NOREPLACE)
}

// exchange lets two entries change places, in one step.
func exchange(base dir, from, to string) error {
	return renameWith(base, from, to, unix.RENAME_EXCHANGE)
}

func renameWith(base dir, from, to string, flags uint) error {
	parent, name := split(from)
	at, err := base.walk(parent)
	if err != nil {
		return err
	}
	defer at.close()
	parent, target := split(to)
	in, err := base.makeAll(parent)
	if err != nil {
		return err
	}
	defer in.close()
	err = again(func() error { return unix.Renameat2(at.fd, name, in.fd, target, flags) })
	if flags == unix.RENAME_NOREPLACE && (errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS)) {
		// NFS and old file systems know no flags.
		if _, err = in.stat(target); err == nil {
			return failed("rename", in.join(target), unix.EEXIST)
		}
		err = again(func() error { return unix.Renameat(at.fd, name, in.fd, target) })
	}
	return failed("rename", at.join(name), err)
}

// explain says what is behind the errors that a rename gives.
func explain(err error) error {
	for number, text := range map[unix.Errno]string{
		unix.EXDEV: "the places lie on different file systems or mounts; if this is a container's overlay, its image is not ours to change",
		unix.EBUSY: "something is mounted there",
		unix.EROFS: "mount the file system for writing first; after an error of the disk it becomes read-only by itself",
	} {
		if errors.Is(err, number) {
			return fmt.Errorf("%w; %s", err, text)
		}
	}
	return immutable(err)
}
