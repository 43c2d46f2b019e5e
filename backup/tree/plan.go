package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

// Way is how a tree is exchanged.
type Way string

// The ways of exchanging a tree.
const (
	ByLink    Way = "link"      // live is a link and is made to lead to the new tree
	ByRename  Way = "directory" // the directory itself is renamed
	ByEntries Way = "entries"   // what is in the directory is renamed
)

// PlanDir decides the moves that put the tree staged in the place of live, which goes to kept. Paths are
// absolute; staged and kept lie in directories of ours (MakeStaging) below Survey's Stage, and kept does
// not exist, or is an empty directory, which is removed. The kept tree of a link that is made to lead elsewhere stays where it is if kept is empty.
func PlanDir(live, staged, kept string) ([]Move, Way, error) {
	for _, given := range []string{live, staged, kept} {
		if given != "" && !filepath.IsAbs(given) {
			return nil, "", fmt.Errorf("plan the exchange of %s: the path %q is relative", live, given)
		}
	}
	place, err := Survey(live)
	if err != nil {
		return nil, "", err
	}
	for _, given := range []*string{&staged, &kept} {
		if *given, err = settled(*given); err != nil {
			return nil, "", fmt.Errorf("plan the exchange of %s: %w", live, err)
		}
	}
	if err := vacate(kept); err != nil {
		return nil, "", fmt.Errorf("plan the exchange of %s: %w", live, err)
	}
	if place.Link && !strings.Contains(staged, "/"+store.Prefix) {
		moves, err := planLink(live, place.Live, staged, kept)
		return moves, ByLink, err
	}
	if place.Way == ByEntries {
		if !holds(place.Live, staged) || !holds(place.Live, kept) {
			return nil, "", fmt.Errorf("%s %w as a whole, because %s: the new tree must be staged in it", place.Live, ErrRefused, place.Why)
		}
		moves, err := PlanEntries(place.Live, staged[len(place.Live)+1:], kept[len(place.Live)+1:], nil)
		return moves, ByEntries, err
	}
	m, err := planRename(place.Live, staged, kept)
	if err != nil {
		return nil, "", err
	}
	return []Move{m}, ByRename, nil
}

// vacate removes an empty directory where the old tree will go: that something is there says that it has gone.
func vacate(kept string) error {
	if kept == "" {
		return nil
	}
	at, err := resolved(filepath.Dir(kept))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer at.close()
	if err := at.rmdir(filepath.Base(kept)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the place for the old tree is taken: %w", err)
	}
	return nil
}

// moveBetween makes paths relative to the directory that all of them lie in.
func moveBetween(live, staged, kept string) Move {
	base := path.Dir(live)
	for !holds(base, staged) || kept != "" && !holds(base, kept) {
		if base = path.Dir(base); base == "/" {
			break
		}
	}
	relative := func(p string) string { return strings.TrimPrefix(strings.TrimPrefix(p, base), "/") }
	return Move{Dir: base, Live: relative(live), Staged: relative(staged), Kept: relative(kept)}
}

func planRename(live, staged, kept string) (Move, error) {
	m := moveBetween(live, staged, kept)
	from, err := resolved(filepath.Dir(staged))
	if err != nil {
		return m, fmt.Errorf("plan the exchange of %s: %w", live, err)
	}
	defer from.close()
	status, err := from.stat(filepath.Base(staged))
	if err != nil {
		return m, fmt.Errorf("plan the exchange of %s: %w", live, err)
	}
	beside, err := existing(filepath.Dir(live))
	if err != nil {
		return m, err
	}
	parent, err := absolute(beside)
	if err != nil {
		return m, err
	}
	defer parent.close()
	if err := sameMount(live, from, parent); err != nil {
		return m, err
	}
	if _, err := parent.stat(filepath.Base(live)); errors.Is(err, fs.ErrNotExist) || beside != filepath.Dir(live) {
		m.Fresh = true
		return m, nil
	}
	if parent.fixed(filepath.Base(live)) {
		return m, fmt.Errorf("%s %w, because it is immutable: see lsattr, and chattr -i", live, ErrRefused)
	}
	if from.canExchange() {
		m.Inode = status.Ino
	}
	return m, nil
}

func sameMount(live string, a, b dir) error {
	first, err := a.mountID()
	second, err2 := b.mountID()
	if err = errors.Join(err, err2); err != nil {
		return err
	}
	if first != second {
		return fmt.Errorf("%s %w, because the new tree in %s lies on another file system or mount: stage it beside", live, ErrRefused, a.path)
	}
	return nil
}

// canExchange tries whether two directories can change places in one step, as on every local file system
// of the last years, and whether they take their inode numbers with them.
func (d dir) canExchange() bool {
	const one, other = store.Prefix + "1", store.Prefix + "2"
	for _, name := range []string{one, other} {
		_ = d.rmdir(name)
		if d.mkdir(name, 0o700) != nil {
			return false
		}
		defer func() { _ = d.rmdir(name) }()
	}
	before, err := d.stat(one)
	if err != nil || exchange(d, one, other) != nil {
		return false
	}
	after, err := d.stat(other)
	return err == nil && after.Ino == before.Ino
}

// planLink makes the link live, which leads to old in the end, lead to staged.
func planLink(live, old, staged, kept string) ([]Move, error) {
	parent, err := filepath.EvalSymlinks(filepath.Dir(live))
	if err != nil {
		return nil, err
	}
	target, err := os.Readlink(live)
	if err != nil {
		return nil, err
	}
	moves := []Move{{Dir: parent, Live: filepath.Base(live), Old: target, New: staged}}
	if kept != "" {
		m := moveBetween(old, kept, kept)
		m.Staged = ""
		moves = append(moves, m)
	}
	return moves, nil
}
