package tree

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Place says how a directory can be exchanged, and where a new one must be staged for it.
type Place struct {
	Way Way
	// Link says that live is a link. The directory that it leads to is exchanged, unless the new tree is
	// staged under a name of its own, without store.Prefix on the way to it: then the link is made to lead there.
	Link bool
	Live string // the directory, without links; it need not exist
	// Stage is where MakeStaging makes the directories for the new and the kept tree.
	Stage string
	// Mounts are the mount points below Live, by path relative to it, in order. What belongs into one is
	// staged in it, at the same path below it as Stage's staging is below Live: extract with
	// ExtractOptions.Mounts.
	Mounts []string
	Why    string // the way is ByEntries, in words
}

// Survey looks at a directory that is to be exchanged: code of a site, which may be a link. It changes nothing.
func Survey(live string) (Place, error) {
	place := Place{Way: ByRename, Live: filepath.Clean(live)}
	if info, err := os.Lstat(live); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		place.Link = true
	}
	real, err := settled(place.Live)
	if err != nil {
		return place, fmt.Errorf("look at %s: %w", live, err)
	}
	if _, err := os.Lstat(real); errors.Is(err, fs.ErrNotExist) {
		place.Live = real
		place.Stage, err = existing(filepath.Dir(real))
		return place, err
	}
	place.Live, place.Stage = real, filepath.Dir(real)
	points, err := Mounts(real)
	if err != nil {
		return place, err
	}
	for _, point := range points {
		if point != real {
			place.Mounts = append(place.Mounts, strings.TrimPrefix(point[len(real):], "/"))
		}
	}
	switch {
	case slices.Contains(points, real):
		place.Why = "it is a mount point"
	case len(points) > 0:
		place.Why = "there are mount points in it"
	case !writable(place.Stage):
		place.Why = "nothing can be made beside it"
	}
	if place.Why != "" {
		place.Way, place.Stage = ByEntries, real
	}
	return place, nil
}

// writable says whether entries can be made in a directory, and renamed.
func writable(directory string) bool {
	at, err := absolute(directory)
	if err != nil {
		return false
	}
	defer at.close()
	return !at.fixed("") && unix.Faccessat(at.fd, ".", unix.W_OK, unix.AT_EACCESS) == nil
}

// settled follows the links of a path, also of one that does not exist or a link that leads nowhere.
func settled(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	real, err := filepath.EvalSymlinks(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return real, err
	}
	if target, err := os.Readlink(path); err == nil {
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		return settled(target)
	}
	parent, err := settled(filepath.Dir(path))
	return filepath.Join(parent, filepath.Base(path)), err
}

// existing is the innermost directory of a path that is there, without links.
func existing(path string) (string, error) {
	real, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) && path != filepath.Dir(path) {
		return existing(filepath.Dir(path))
	}
	return real, err
}
