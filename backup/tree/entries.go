package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

// PlanEntries decides the moves that exchange what is in a directory that stays where it is: live is its
// path, staged and kept are paths below it, in directories of ours. Each entry of live goes to kept, each
// of staged takes its place. What skip names (by path below live) stays as it is, and so does what begins
// with store.Prefix.
//
// A mount point in live stays too. Where there is one, what is around it is exchanged one level deeper;
// what is in it is exchanged if its part was staged in it (see Place.Mounts), and left alone if the new
// tree has nothing there.
func PlanEntries(live, staged, kept string, skip func(path string) bool) ([]Move, error) {
	base, err := resolved(live)
	if err != nil {
		return nil, fmt.Errorf("plan the exchange of %s: %w", live, err)
	}
	defer base.close()
	points, err := Mounts(base.path)
	if err != nil {
		return nil, err
	}
	p := entryPlan{base: base, staged: staged, kept: kept, skip: skip}
	for _, point := range points {
		if point != base.path {
			p.mounts = append(p.mounts, strings.TrimPrefix(point[len(base.path):], "/"))
		}
	}
	if space, err := SpaceAt(base.path); err != nil || space.ReadOnly {
		return nil, errors.Join(err, fmt.Errorf("%s %w, because its file system is mounted read-only", base.path, ErrRefused))
	}
	if err := p.level("", staged, kept); err != nil {
		return nil, fmt.Errorf("plan the exchange: %w", err)
	}
	return p.moves, nil
}

type entryPlan struct {
	base         dir
	staged, kept string // paths below base, and below mount points
	skip         func(path string) bool
	mounts       []string
	moves        []Move
}

// level plans for what is in the directory at, which stays.
func (p *entryPlan) level(at, staged, kept string) error {
	there, err := p.base.walk(at)
	if err != nil {
		return err
	}
	defer there.close()
	if there.fixed("") {
		return fmt.Errorf("%s %w, because the directory is immutable: see lsattr, and chattr -i", there.path, ErrRefused)
	}
	old, err := there.names()
	if err != nil {
		return err
	}
	fresh, err := p.base.list(staged)
	if err != nil {
		return err
	}
	for _, name := range union(old, fresh) {
		entry := path.Join(at, name)
		if strings.HasPrefix(name, store.Prefix) || p.skip != nil && p.skip(entry) {
			continue
		}
		isOld, isNew := contains(old, name), contains(fresh, name)
		handled, err := p.mounted(entry, isNew, path.Join(staged, name), path.Join(kept, name))
		if err != nil {
			return err
		}
		if handled {
			continue
		}
		if isOld && there.fixed(name) {
			return fmt.Errorf("%s %w, because it is immutable: see lsattr, and chattr -i", there.join(name), ErrRefused)
		}
		m := Move{Dir: p.base.path, Live: entry, Kept: path.Join(kept, name), Fresh: !isOld}
		if isNew {
			m.Staged = path.Join(staged, name)
		}
		p.moves = append(p.moves, m)
	}
	return nil
}

// mounted plans for an entry that is a mount point or holds one, if it is.
func (p *entryPlan) mounted(entry string, isNew bool, staged, kept string) (bool, error) {
	if slices.Contains(p.mounts, entry) {
		inside, err := p.base.list(path.Join(entry, p.staged))
		switch {
		case err != nil:
			return true, err
		case isNew:
			return true, fmt.Errorf("%s %w, because it is a mount point, and what belongs into it was staged outside of it", p.base.join(entry), ErrRefused)
		case inside == nil:
			return true, nil
		}
		return true, p.level(entry, path.Join(entry, p.staged), path.Join(entry, p.kept))
	}
	if !slices.ContainsFunc(p.mounts, func(mount string) bool { return holds(entry, mount) }) {
		return false, nil
	}
	if isNew {
		if err := p.base.isDirectory(staged); err != nil {
			return true, fmt.Errorf("%s %w, because something is mounted below it, and what comes is no directory: %w", p.base.join(entry), ErrRefused, err)
		}
	}
	return true, p.level(entry, staged, kept)
}

func (d dir) isDirectory(path string) error {
	at, err := d.walk(path)
	if err == nil {
		at.close()
	}
	return err
}

// list names what is in a directory below d, in order; nil if it does not exist, and not nil if it does.
func (d dir) list(path string) ([]string, error) {
	at, err := d.walk(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer at.close()
	names, err := at.names()
	return append([]string{}, names...), err
}

func contains(sorted []string, name string) bool {
	_, found := slices.BinarySearch(sorted, name)
	return found
}

func union(a, b []string) []string {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
