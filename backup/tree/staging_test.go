package tree

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMakeStaging(t *testing.T) {
	dir := tempDir(t)
	write(t, dir, map[string]string{"real/x": "y", "link": "-> real", "real/.mxp-taken": "-> /etc"})
	root, err := MakeStaging(filepath.Join(dir, "link"), ".mxp-new")
	must(t, err)
	defer root.Close()
	if info, err := os.Stat(filepath.Join(dir, "real/.mxp-new")); err != nil || info.Mode().Perm() != 0o700 || root.Name() != filepath.Join(dir, "real/.mxp-new") {
		t.Errorf("%v, %v, %s", info, err, root.Name())
	}
	for _, name := range []string{".mxp-new", ".mxp-taken", "new", "", ".mxp-a/b", "../.mxp-x", ".mxp-\x00"} {
		if _, err := MakeStaging(filepath.Join(dir, "real"), name); err == nil {
			t.Errorf("%q was made", name)
		}
	}
	if _, err := MakeStaging(filepath.Join(dir, "none"), ".mxp-new"); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestDiscard(t *testing.T) {
	needRoot(t) // whom closed directories do not stop
	dir := tempDir(t)
	randomTree(t, filepath.Join(dir, ".mxp-old"), rand.New(rand.NewPCG(1, 1)), 300)
	write(t, dir, map[string]string{"live/x": "y", ".mxp-link": "-> live", ".mxp-old/out": "-> ../live"})
	for _, name := range []string{"live", ".", "..", "", ".mxp-old/../live", ".mxp-old/out", "./.mxp-old"} {
		if err := Discard(t.Context(), dir, name); err == nil || !strings.Contains(err.Error(), "no name of a directory of ours") {
			t.Errorf("%q: %v", name, err)
		}
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Discard(cancelled, dir, ".mxp-old"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for range 2 {
		must(t, Discard(t.Context(), dir, ".mxp-old"))
		must(t, Discard(t.Context(), dir, ".mxp-link"))
		must(t, Discard(t.Context(), filepath.Join(dir, "none"), ".mxp-link"))
	}
	sameMap(t, "left", texts(t, dir), map[string]string{"live/x": "y"})
}

func TestDiscardSparesWhatIsMounted(t *testing.T) {
	dir := tempDir(t)
	write(t, dir, map[string]string{"live/x": "y", ".mxp-old/a/x": "y"})
	mount(t, filepath.Join(dir, "live"), filepath.Join(dir, ".mxp-old", "b"), "", unix.MS_BIND, "")
	if err := Discard(t.Context(), dir, ".mxp-old"); err == nil || !strings.Contains(err.Error(), ".mxp-old/b is a mount point") {
		t.Error(err)
	}
	sameMap(t, "left", texts(t, filepath.Join(dir, "live")), map[string]string{"x": "y"})
	if _, err := os.Stat(filepath.Join(dir, ".mxp-old/a/x")); err != nil {
		t.Errorf("a part has been removed: %v", err)
	}
}

func TestOwn(t *testing.T) {
	needRoot(t)
	dir := tempDir(t)
	write(t, dir, map[string]string{"out/x": "y", "data/a/b": "c", "data/link": "-> ../out/x", "data/dir": "-> ../out", "data/skipped/x": "y", "data/theirs": "z", "data/m/x": "y"})
	must(t, os.Link(filepath.Join(dir, "out/x"), filepath.Join(dir, "data/hard")))
	must(t, os.Lchown(filepath.Join(dir, "data/theirs"), 33, 44))
	must(t, os.Chmod(filepath.Join(dir, "data/a"), 0o2770|os.ModeSetgid))
	mount(t, "tmpfs", filepath.Join(dir, "data/m"), "tmpfs", 0, "")
	before := snapshot(t, filepath.Join(dir, "out"))
	got, err := Own(t.Context(), openRoot(t, filepath.Join(dir, "data")), 33, 44, OwnOptions{Skip: func(path string) bool { return path == "skipped" }})
	if err != nil || got != (Owned{Changed: 5, Linked: 1}) {
		t.Errorf("%+v, %v", got, err)
	}
	sameMap(t, "outside", snapshot(t, filepath.Join(dir, "out")), before)
	for name, owner := range map[string]uint32{"": 33, "a": 33, "a/b": 33, "link": 33, "dir": 33, "hard": 0, "skipped": 0, "skipped/x": 0, "theirs": 33, "m": 0} {
		var s unix.Stat_t
		must(t, unix.Lstat(filepath.Join(dir, "data", name), &s))
		if s.Uid != owner || owner != 0 && s.Gid != 44 || name == "a" && s.Mode&0o7777 != 0o2770 {
			t.Errorf("%s: %o %d:%d", name, s.Mode, s.Uid, s.Gid)
		}
	}
}

func TestMountsIn(t *testing.T) {
	const info = `27 1 254:0 / / rw - ext4 /dev/vda rw
30 27 8:1 / /srv/my\040disk rw,relatime shared:1 - xfs /dev/sdb1 rw
31 30 0:50 / /srv/my\040disk/b\134c rw - nfs4 nas:/export ro
32 30 0:51 / /srv/my\040disk/b\134c rw - tmpfs tmpfs rw
33 27 0:52 / /srv/my\040disks rw - tmpfs tmpfs rw
34 27 0:52 / /odd\9 rw - tmpfs tmpfs rw
short line
`
	for directory, want := range map[string][]string{
		"/":            {"/", "/odd\\9", "/srv/my disk", "/srv/my disk/b\\c", "/srv/my disks"},
		"/srv":         {"/srv/my disk", "/srv/my disk/b\\c", "/srv/my disks"},
		"/srv/my disk": {"/srv/my disk", "/srv/my disk/b\\c"},
		"/srv/my":      nil,
	} {
		if got := mountsIn(info, directory); !slices.Equal(got, want) {
			t.Errorf("%s: %q", directory, got)
		}
	}
}

func TestSpaceAt(t *testing.T) {
	dir := tempDir(t)
	mount(t, "tmpfs", filepath.Join(dir, "m"), "tmpfs", 0, "size=1m,nr_inodes=100")
	write(t, dir, map[string]string{"m/x": strings.Repeat("x", 256<<10)})
	space, err := SpaceAt(filepath.Join(dir, "m/no/such"))
	if err != nil || space.Total != 1<<20 || space.Free != 3<<18 || space.FreeFiles != 98 || space.ReadOnly {
		t.Errorf("%+v, %v", space, err)
	}
	outside, err := SpaceAt(dir)
	if err != nil || outside.Device == space.Device {
		t.Errorf("%+v, %v", outside, err)
	}
	must(t, unix.Mount("", filepath.Join(dir, "m"), "", unix.MS_REMOUNT|unix.MS_RDONLY, ""))
	if space, err = SpaceAt(filepath.Join(dir, "m")); err != nil || !space.ReadOnly {
		t.Errorf("%+v, %v", space, err)
	}
}
