package tree

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// TestDatarootWithMounts: what is mounted in a dataroot stays mounted; what is around it and in it is exchanged.
func TestDatarootWithMounts(t *testing.T) {
	dir := tempDir(t)
	data := filepath.Join(dir, "data")
	must(t, os.MkdirAll(data, 0o755))
	mount(t, "tmpfs", data, "tmpfs", 0, "")
	mount(t, "tmpfs", filepath.Join(data, "repository"), "tmpfs", 0, "")
	mount(t, "tmpfs", filepath.Join(data, "filedir"), "tmpfs", 0, "")
	mount(t, "tmpfs", filepath.Join(data, "a", "deep", "own mount"), "tmpfs", 0, "")
	write(t, dir, map[string]string{"other/file": "shared"})
	mount(t, filepath.Join(dir, "other"), filepath.Join(data, "a", "bound"), "", unix.MS_BIND, "")
	old := map[string]string{
		"filedir/aa/x": "blob", "repository/r": "old", "repository/only-old": "o", "a/deep/own mount/y": "old", "a/deep/z": "old", "a/s": "old",
		"lang/de": "old", "climaintenance.html": "closed", "link": "-> filedir",
	}
	write(t, data, old)
	old["a/bound/file"] = "shared"
	place, err := Survey(data)
	if err != nil || place.Way != ByEntries || !slices.Equal(place.Mounts, []string{"a/bound", "a/deep/own mount", "filedir", "repository"}) {
		t.Fatalf("%+v, %v", place, err)
	}
	skip := func(path string) bool { return path == "filedir" || path == "climaintenance.html" }
	write(t, data, map[string]string{
		".mxp-new/tree/lang/de": "new", ".mxp-new/tree/lang/fr": "new", ".mxp-new/tree/a/deep/z": "new", ".mxp-new/tree/a/new": "new",
		"repository/.mxp-new/tree/r": "new", "a/deep/own mount/.mxp-new/tree/y": "new", ".mxp-new/tree/filedir": "",
	})
	moves, err := PlanEntries(data, ".mxp-new/tree", ".mxp-old/tree", skip)
	must(t, err)
	want := map[string]string{
		"filedir/aa/x": "blob", "repository/r": "new", "a/deep/own mount/y": "new", "a/deep/z": "new", "a/new": "new", "lang/de": "new", "lang/fr": "new",
		"climaintenance.html": "closed", "a/bound/file": "shared",
	}
	for range 2 {
		must(t, Do(t.Context(), moves, nil))
		sameMap(t, "done", texts(t, data), want)
		must(t, Undo(t.Context(), moves, nil))
		sameMap(t, "undone", texts(t, data), old)
	}
	if err := Discard(t.Context(), data, ".mxp-new"); err != nil {
		t.Error(err)
	}
	write(t, data, map[string]string{".mxp-new/tree/repository/r": "new"})
	if _, err := PlanEntries(data, ".mxp-new/tree", ".mxp-old/tree", skip); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "repository") {
		t.Error(err)
	}
	write(t, data, map[string]string{".mxp-wrong/tree/a": "a file"})
	if _, err := PlanEntries(data, ".mxp-wrong/tree", ".mxp-old/tree", skip); !errors.Is(err, ErrRefused) {
		t.Error(err)
	}
}

func TestSurvey(t *testing.T) {
	needRoot(t)
	dir := tempDir(t)
	write(t, dir, map[string]string{"plain/x": "y", "release/x": "y", "link": "-> release", "chain": "-> link", "dangling": "-> gone/code", "up": "-> ."})
	mount(t, "tmpfs", filepath.Join(dir, "mounted"), "tmpfs", 0, "")
	mount(t, filepath.Join(dir, "plain"), filepath.Join(dir, "bound"), "", unix.MS_BIND, "")
	mount(t, "tmpfs", filepath.Join(dir, "holder", "pub"), "tmpfs", 0, "")
	mount(t, "tmpfs", filepath.Join(dir, "closed"), "tmpfs", 0, "")
	write(t, dir, map[string]string{"closed/code/x": "y"})
	must(t, unix.Mount("", filepath.Join(dir, "closed"), "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	for name, want := range map[string]Place{
		"plain":       {Way: ByRename, Live: "plain", Stage: "."},
		"up/plain":    {Way: ByRename, Live: "plain", Stage: "."},
		"link":        {Way: ByRename, Link: true, Live: "release", Stage: "."},
		"chain":       {Way: ByRename, Link: true, Live: "release", Stage: "."},
		"dangling":    {Way: ByRename, Link: true, Live: "gone/code", Stage: "."},
		"no/such/dir": {Way: ByRename, Live: "no/such/dir", Stage: "."},
		"mounted":     {Way: ByEntries, Live: "mounted", Stage: "mounted", Why: "it is a mount point"},
		"bound":       {Way: ByEntries, Live: "bound", Stage: "bound", Why: "it is a mount point"},
		"holder":      {Way: ByEntries, Live: "holder", Stage: "holder", Mounts: []string{"pub"}, Why: "there are mount points in it"},
		"closed/code": {Way: ByEntries, Live: "closed/code", Stage: "closed/code", Why: "nothing can be made beside it"},
	} {
		want.Live, want.Stage = filepath.Join(dir, want.Live), filepath.Join(dir, want.Stage)
		got, err := Survey(filepath.Join(dir, name))
		if err != nil || got.Way != want.Way || got.Link != want.Link || got.Live != want.Live || got.Stage != want.Stage || got.Why != want.Why || !slices.Equal(got.Mounts, want.Mounts) {
			t.Errorf("%s: %+v instead of %+v, %v", name, got, want, err)
		}
	}
	if _, err := PlanEntries(filepath.Join(dir, "closed", "code"), ".mxp-new", ".mxp-old", nil); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "read-only") {
		t.Error(err)
	}
	// Staged on another file system, or seen over another mount of the same.
	write(t, dir, map[string]string{"mounted/.mxp-new/tree/x": "new", "plain/.mxp-new/tree/x": "new"})
	for _, staged := range []string{"mounted", "bound"} {
		_, _, err := PlanDir(filepath.Join(dir, "release"), filepath.Join(dir, staged, ".mxp-new", "tree"), filepath.Join(dir, ".mxp-old", "tree"))
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "another file system") {
			t.Error(err)
		}
	}
	if _, _, err := PlanDir(filepath.Join(dir, "mounted"), filepath.Join(dir, ".mxp-new", "tree"), filepath.Join(dir, ".mxp-old")); !errors.Is(err, ErrRefused) {
		t.Error(err)
	}
	if _, _, err := PlanDir("relative", "a", "b"); err == nil {
		t.Error("relative paths are taken")
	}
}

// TestCodeThatIsGone: nothing is there, not even the directory that it was in.
func TestCodeThatIsGone(t *testing.T) {
	for _, live := range []string{"www/moodle", "link"} {
		dir := tempDir(t)
		write(t, dir, map[string]string{".mxp-new/tree/x": "new", "link": "-> releases/one"})
		moves, way, err := PlanDir(filepath.Join(dir, live), filepath.Join(dir, ".mxp-new/tree"), filepath.Join(dir, ".mxp-old/tree"))
		if err != nil || way != ByRename || !moves[0].Fresh {
			t.Fatalf("%+v by %s, %v", moves, way, err)
		}
		must(t, Do(t.Context(), moves, nil))
		sameMap(t, "done", texts(t, filepath.Join(dir, live)+"/"), map[string]string{"x": "new"})
		if info, err := os.Stat(filepath.Dir(filepath.Join(moves[0].Dir, moves[0].Live))); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("%v, %v", info, err)
		}
		must(t, Undo(t.Context(), moves, nil))
		if _, err := os.Stat(filepath.Join(dir, live)); !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
		sameMap(t, "undone", texts(t, filepath.Join(dir, ".mxp-new/tree")), map[string]string{"x": "new"})
	}
}

// TestPlaceForTheOldTree: an empty directory there is no old tree, and anything else is not to be lost.
func TestPlaceForTheOldTree(t *testing.T) {
	dir := tempDir(t)
	write(t, dir, map[string]string{"live/x": "old", ".mxp-1/new/x": "new", ".mxp-1/old": "", ".mxp-2/old/x": "older"})
	moves, _, err := PlanDir(filepath.Join(dir, "live"), filepath.Join(dir, ".mxp-1/new"), filepath.Join(dir, ".mxp-1/old"))
	must(t, err)
	if state, err := StateOf(moves); err != nil || state != Undone {
		t.Errorf("%s, %v", state, err)
	}
	must(t, Do(t.Context(), moves, nil))
	sameMap(t, "kept", texts(t, filepath.Join(dir, ".mxp-1/old")), map[string]string{"x": "old"})
	if _, _, err := PlanDir(filepath.Join(dir, "live"), filepath.Join(dir, ".mxp-1/old"), filepath.Join(dir, ".mxp-2/old")); !errors.Is(err, unix.ENOTEMPTY) {
		t.Error(err)
	}
}

// TestLinkToAReleaseThatIsKept: the link leads to the new release, and the old one goes where it is told.
func TestLinkToAReleaseThatIsKept(t *testing.T) {
	needRoot(t)
	dir := tempDir(t)
	before := map[string]string{"releases/1/x": "old", "releases/2/x": "new", "live": "-> releases/1"}
	write(t, dir, before)
	must(t, os.Lchown(filepath.Join(dir, "live"), 33, 44))
	moves, way, err := PlanDir(filepath.Join(dir, "live"), filepath.Join(dir, "releases/2"), filepath.Join(dir, "releases/.mxp-old/tree"))
	if err != nil || way != ByLink || len(moves) != 2 {
		t.Fatalf("%+v by %s, %v", moves, way, err)
	}
	must(t, Do(t.Context(), moves, nil))
	sameMap(t, "done", texts(t, dir), map[string]string{"releases/2/x": "new", "live": "-> " + filepath.Join(dir, "releases/2")})
	sameMap(t, "kept", texts(t, filepath.Join(dir, "releases/.mxp-old/tree")), map[string]string{"x": "old"})
	var s unix.Stat_t
	must(t, unix.Lstat(filepath.Join(dir, "live"), &s))
	if s.Uid != 33 || s.Gid != 44 {
		t.Errorf("the link belongs to %d:%d", s.Uid, s.Gid)
	}
	must(t, Undo(t.Context(), moves, nil))
	sameMap(t, "undone", texts(t, dir), before)
	must(t, os.Remove(filepath.Join(dir, "live")))
	must(t, os.Symlink("elsewhere", filepath.Join(dir, "live")))
	if _, err := StateOf(moves); !errors.Is(err, ErrLost) {
		t.Error(err)
	}
}

// immutableBit sets or clears what chattr calls i.
func immutableBit(t *testing.T, path string, on bool) {
	t.Helper()
	file, err := os.Open(path)
	must(t, err)
	defer file.Close()
	flags := 0
	if on {
		flags = unix.STATX_ATTR_IMMUTABLE // the same bit as FS_IMMUTABLE_FL
	}
	must(t, unix.IoctlSetPointerInt(int(file.Fd()), unix.FS_IOC_SETFLAGS, flags))
}

func TestImmutable(t *testing.T) {
	needRoot(t)
	dir := stand.TempDir(t) // on a disk: file systems in memory know no such bit
	write(t, dir, map[string]string{"live/a": "old", "live/b/c": "old", "live/.mxp-new/x": "y", "live/.mxp-new/b/c": "new", "whole/x": "old", ".mxp-new/tree/x": "new"})
	plan := func() error {
		_, err := PlanEntries(filepath.Join(dir, "live"), ".mxp-new", ".mxp-old", nil)
		return err
	}
	must(t, plan())
	for _, name := range []string{"live/a", "live/b", "live"} {
		immutableBit(t, filepath.Join(dir, name), true)
		err := plan()
		immutableBit(t, filepath.Join(dir, name), false)
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "chattr -i") {
			t.Errorf("%s: %v", name, err)
		}
	}
	whole := filepath.Join(dir, "whole")
	immutableBit(t, whole, true)
	_, _, err := PlanDir(whole, filepath.Join(dir, ".mxp-new/tree"), filepath.Join(dir, ".mxp-old/tree"))
	immutableBit(t, whole, false)
	if !errors.Is(err, ErrRefused) {
		t.Error(err)
	}
	immutableBit(t, dir, true)
	place, err := Survey(whole)
	immutableBit(t, dir, false)
	if err != nil || place.Way != ByEntries {
		t.Errorf("%+v, %v", place, err)
	}
	// It became so later.
	moves, _, err := PlanDir(whole, filepath.Join(dir, ".mxp-new/tree"), filepath.Join(dir, ".mxp-old/tree"))
	must(t, err)
	immutableBit(t, whole, true)
	err = Do(t.Context(), moves, nil)
	immutableBit(t, whole, false)
	if !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "chattr -i") {
		t.Error(err)
	}
	must(t, os.Rename(filepath.Join(dir, "live"), filepath.Join(dir, ".mxp-old")))
	kept := filepath.Join(dir, ".mxp-old/b/c")
	immutableBit(t, kept, true)
	err = Discard(t.Context(), dir, ".mxp-old")
	immutableBit(t, kept, false)
	if !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "chattr -i") {
		t.Error(err)
	}
	must(t, Discard(t.Context(), dir, ".mxp-old"))
}
