package tree

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// attack swaps a directory for a link to outside and back, as fast as can be, until the test is over. It is
// what the web server's user can do in trees that are its own while root works in them.
func attack(t *testing.T, outside string, paths ...string) {
	t.Helper()
	stop := make(chan struct{})
	var attackers sync.WaitGroup
	for _, path := range paths {
		trap := path + ".trap"
		must(t, os.MkdirAll(filepath.Dir(path), 0o777))
		must(t, os.MkdirAll(path, 0o777))
		must(t, os.Symlink(outside, trap))
		attackers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_ = unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, trap, unix.RENAME_EXCHANGE)
					_ = os.Mkdir(path, 0o777) // if it was removed
				}
			}
		})
	}
	t.Cleanup(func() { close(stop); attackers.Wait() })
}

// TestNothingOutsideIsTouched while somebody swaps directories for links: neither a file made, changed or
// removed, nor an owner, a mode or a time.
func TestNothingOutsideIsTouched(t *testing.T) {
	needRoot(t)
	const rounds = 150
	contents := many(40)[:40]
	for name, act := range map[string]func(t *testing.T, dir, outside string){
		"fill": func(t *testing.T, dir, outside string) {
			blobs := poolOf(t, filepath.Join(dir, "pool"), contents...)
			live := openRoot(t, filepath.Join(dir, "in"))
			for _, b := range blobs[:4] { // what a content file's path leads to outside as well
				write(t, outside, map[string]string{b.leaf()[3:] + "/" + b.name(): "outside"})
				write(t, outside, map[string]string{b.name(): "outside"})
			}
			attack(t, outside, filepath.Join(dir, "in", blobs[0].leaf()), filepath.Join(dir, "in", blobs[1].leaf()[:2]), filepath.Join(dir, "in", blobs[2].leaf()))
			before := snapshot(t, outside)
			o := filling1(blobs, filepath.Join(dir, "pool"))
			o.UID, o.GID = 33, 44
			for range rounds {
				_, _ = Fill(t.Context(), live, o)
				for _, b := range blobs[:4] {
					_ = live.Remove(b.leaf() + "/" + b.name())
				}
			}
			sameMap(t, "outside", snapshot(t, outside), before)
		},
		"own": func(t *testing.T, dir, outside string) {
			write(t, dir, map[string]string{"in/a/b/c": "x", "in/d/e": "y"})
			attack(t, outside, filepath.Join(dir, "in/a"), filepath.Join(dir, "in/d"), filepath.Join(dir, "in/f"))
			before := snapshot(t, outside)
			root := openRoot(t, filepath.Join(dir, "in"))
			for i := range rounds * 20 {
				_, _ = Own(t.Context(), root, 33+i%2, 44, OwnOptions{})
			}
			sameMap(t, "outside", snapshot(t, outside), before)
		},
		"exchange": func(t *testing.T, dir, outside string) {
			write(t, dir, map[string]string{"in/a/b/c": "x", "in/.mxp-new/a/b/c": "y"})
			moves := []Move{{Dir: filepath.Join(dir, "in"), Live: "a/b", Staged: ".mxp-new/a/b", Kept: ".mxp-old/a/b"}}
			attack(t, outside, filepath.Join(dir, "in/a"), filepath.Join(dir, "in/.mxp-old/a"))
			before := snapshot(t, outside)
			for range rounds * 4 {
				_ = Do(t.Context(), moves, nil)
				_ = Undo(t.Context(), moves, nil)
			}
			sameMap(t, "outside", snapshot(t, outside), before)
		},
		"discard": func(t *testing.T, dir, outside string) {
			attack(t, outside, filepath.Join(dir, "in/.mxp-old/a"), filepath.Join(dir, "in/.mxp-top"))
			before := snapshot(t, outside)
			root := openRoot(t, filepath.Join(dir, "in"))
			for range rounds * 4 {
				_ = Discard(t.Context(), filepath.Join(dir, "in"), ".mxp-old")
				_ = Discard(t.Context(), filepath.Join(dir, "in"), ".mxp-top")
				_ = root.MkdirAll(".mxp-old/a/b", 0o777) // which leads nowhere else
				_ = root.MkdirAll(".mxp-top/b", 0o777)
				_ = root.Symlink(outside, ".mxp-old/a.trap")
				_ = root.Symlink(outside, ".mxp-top.trap")
			}
			sameMap(t, "outside", snapshot(t, outside), before)
		},
		"extract": func(t *testing.T, dir, outside string) {
			from := filepath.Join(dir, "from")
			write(t, from, map[string]string{"a/1/c": "x", "a/2": "y", "d/3": "z", "d/4/y": "z"})
			archive := tarOf(t, from)
			root := openRoot(t, filepath.Join(dir, "in"))
			attack(t, outside, filepath.Join(dir, "in/a"), filepath.Join(dir, "in/d"))
			before := snapshot(t, outside)
			for range rounds {
				_, _ = extract(t, archive, root, ExtractOptions{})
				_, _ = Compare(t.Context(), bytes.NewReader(archive), root, CompareOptions{ExtractOptions: ExtractOptions{MaxBytes: 1 << 20}})
				for _, name := range []string{"a/1", "a/2", "d/3", "d/4"} {
					_ = root.RemoveAll(name)
				}
			}
			sameMap(t, "outside", snapshot(t, outside), before)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tempDir(t)
			outside := filepath.Join(dir, "out")
			write(t, outside, map[string]string{"there": "before", "b/c": "before", "x/there": "before"})
			act(t, dir, outside)
		})
	}
}

// TestNothingStaysOpen: directories are handled by their numbers, which nobody collects.
func TestNothingStaysOpen(t *testing.T) {
	count := func() int {
		names, err := os.ReadDir("/proc/self/fd")
		must(t, err)
		return len(names)
	}
	dir := tempDir(t)
	blobs := poolOf(t, filepath.Join(dir, "pool"), many(20)...)
	root := openRoot(t, filepath.Join(dir, "filedir"))
	all := func() {
		_, _ = Fill(t.Context(), root, filling1(blobs, filepath.Join(dir, "pool")))
		for _, cut := range []int{0, 700} {
			from := filepath.Join(dir, "pool")
			archive := tarOf(t, from)
			staging, err := MakeStaging(dir, ".mxp-new")
			must(t, err)
			_, _ = extract(t, archive[:len(archive)-cut], staging, ExtractOptions{})
			_, _ = Compare(t.Context(), bytes.NewReader(archive[:len(archive)-cut]), staging, CompareOptions{ExtractOptions: ExtractOptions{MaxBytes: 1 << 30}})
			moves, _, err := PlanDir(filepath.Join(dir, "filedir"), staging.Name(), filepath.Join(dir, ".mxp-old", "x"))
			must(t, err)
			must(t, Do(t.Context(), moves, nil))
			must(t, Undo(t.Context(), moves, nil))
			entries, err := PlanEntries(filepath.Join(dir, "filedir"), ".mxp-none", ".mxp-old", nil)
			must(t, err)
			_, err = StateOf(entries)
			must(t, err)
			_, _ = Own(t.Context(), staging, os.Getuid(), os.Getgid(), OwnOptions{})
			must(t, staging.Close())
			must(t, Discard(t.Context(), dir, ".mxp-new"))
		}
	}
	all()
	before := count()
	for range 5 {
		all()
	}
	if after := count(); after > before {
		t.Errorf("%d files are open, and were %d", after, before)
	}
}
