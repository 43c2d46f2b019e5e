package tree

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestExchange: there and back, again and again, each time with a second call that finds nothing to do.
func TestExchange(t *testing.T) {
	for _, way := range []Way{ByRename, ByEntries, ByLink, "two renames"} {
		t.Run(string(way), func(t *testing.T) {
			moves, check := exchangeOf(t, way)
			check(Undone)
			for range 2 {
				var order []int
				must(t, Do(t.Context(), moves, func(i int) { order = append(order, i) }))
				check(Done)
				must(t, Do(t.Context(), moves, nil))
				check(Done)
				must(t, Undo(t.Context(), moves, func(i int) { order = append(order, i) }))
				check(Undone)
				must(t, Undo(t.Context(), moves, nil))
				check(Undone)
				if back := order[len(moves):]; !slices.IsSorted(order[:len(moves)]) || back[0] != len(moves)-1 || back[len(back)-1] != 0 {
					t.Errorf("order %v", order)
				}
			}
			for stop := range moves { // broken off before each move
				ctx, cancel := context.WithCancel(t.Context())
				err := Do(ctx, moves, func(i int) {
					if i == stop {
						cancel()
					}
				})
				if stop < len(moves)-1 && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				if stop%2 == 0 {
					must(t, Do(t.Context(), moves, nil))
					check(Done)
				}
				must(t, Undo(t.Context(), moves, nil))
				check(Undone)
			}
		})
	}
}

// TestHalfMadeMoves: states that a kill between two renames leaves, and some that others make of them.
func TestHalfMadeMoves(t *testing.T) {
	rename := func(from, to string) func(string) error {
		return func(dir string) error {
			return errors.Join(os.MkdirAll(filepath.Join(dir, filepath.Dir(to)), 0o700), os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)))
		}
	}
	stray := func(name string) func(string) error {
		return func(dir string) error { return os.WriteFile(filepath.Join(dir, name), []byte("stray"), 0o600) }
	}
	remove := func(name string) func(string) error {
		return func(dir string) error { return os.RemoveAll(filepath.Join(dir, name)) }
	}
	const live, staged, kept = "live", ".mxp-new/x", ".mxp-old/x"
	for name, test := range map[string]struct {
		onestep, fresh bool
		before         []func(string) error
		state          State
		lost           bool   // nothing that can be told
		undone         string // what Undo brings back if it is lost; empty: it refuses
		strays         string
	}{
		"two renames: first made":              {before: []func(string) error{rename(live, kept)}, state: Between},
		"two renames: one came between":        {before: []func(string) error{rename(live, kept), stray(live)}, state: Between, strays: kept + strayName},
		"two renames: old one vanished":        {before: []func(string) error{remove(live)}, state: Undone, undone: "-"},
		"two renames: new one vanished":        {before: []func(string) error{rename(live, kept), remove(staged)}, lost: true, undone: "old"},
		"two renames: both vanished":           {before: []func(string) error{remove(live), remove(staged)}, lost: true},
		"new: one came before":                 {fresh: true, before: []func(string) error{stray(live)}, state: Undone, strays: live},
		"one step: exchanged":                  {onestep: true, before: []func(string) error{func(d string) error { return swap(d, staged, live) }}, state: Between},
		"one step: old one vanished":           {onestep: true, before: []func(string) error{remove(live)}, state: Undone, undone: "-"},
		"one step: new one vanished":           {onestep: true, before: []func(string) error{remove(staged)}, lost: true},
		"one step: new one gone, old one kept": {onestep: true, before: []func(string) error{rename(live, kept), remove(staged)}, lost: true, undone: "old"},
		"one step: another one is there":       {onestep: true, before: []func(string) error{rename(live, kept), rename(staged, "else"), stray(live)}, lost: true},
	} {
		for _, finish := range []bool{true, false} {
			dir := tempDir(t)
			files := map[string]string{live + "/x": "old", staged + "/x": "new"}
			if test.fresh {
				delete(files, live+"/x")
			}
			write(t, dir, files)
			moves, _, err := PlanDir(filepath.Join(dir, live), filepath.Join(dir, staged), filepath.Join(dir, kept))
			must(t, err)
			if !test.onestep {
				moves[0].Inode = 0
			}
			for _, step := range test.before {
				must(t, step(dir))
			}
			state, err := StateOf(moves)
			if test.lost != errors.Is(err, ErrLost) || !test.lost && state != test.state {
				t.Errorf("%s: state %s, %v", name, state, err)
			}
			act, want := Undo, "old"
			if finish {
				act, want = Do, "new"
			} else if test.undone != "" {
				want = test.undone
			} else if test.fresh {
				want = "-"
			}
			err = act(t.Context(), moves, nil)
			if refused := test.lost && (finish || test.undone == ""); refused != errors.Is(err, ErrLost) || !refused && err != nil {
				t.Errorf("%s: %v", name, err)
			} else if refused {
				continue
			}
			if content, err := os.ReadFile(filepath.Join(dir, live, "x")); string(content) != want && (want != "-" || err == nil) {
				t.Errorf("%s (finish %v): %q is there, not %q", name, finish, content, want)
			}
			if test.strays != "" && (test.strays != live || !finish) {
				if content, err := os.ReadFile(filepath.Join(dir, test.strays)); string(content) != "stray" {
					t.Errorf("%s: what came between is lost: %v", name, err)
				}
			}
			if !test.lost {
				must(t, act(t.Context(), moves, nil))
			}
		}
	}
}

func swap(dir, a, b string) error {
	return unix.Renameat2(unix.AT_FDCWD, filepath.Join(dir, a), unix.AT_FDCWD, filepath.Join(dir, b), unix.RENAME_EXCHANGE)
}

// TestUndoWithoutTheOldOne: once what was kept has been let go, there is no way back, and the live site stays.
func TestUndoWithoutTheOldOne(t *testing.T) {
	for _, way := range []Way{ByRename, ByEntries, "two renames"} {
		moves, _ := exchangeOf(t, way)
		must(t, Do(t.Context(), moves, nil))
		live := texts(t, filepath.Join(moves[0].Dir, filepath.Dir(moves[0].Live)))
		must(t, Discard(t.Context(), moves[0].Dir, ".mxp-old"))
		if err := Undo(t.Context(), moves, nil); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "not in .mxp-old") {
			t.Errorf("%s: %v", way, err)
		}
		if way != ByEntries {
			sameMap(t, string(way), texts(t, moves[0].Dir), live)
		}
	}
}

// TestMovesFollowNoLinks: a directory on the way that somebody has made a link leads nowhere.
func TestMovesFollowNoLinks(t *testing.T) {
	dir := tempDir(t)
	write(t, dir, map[string]string{"live/a/b": "old", "live/.mxp-new/a/b": "new", "out/b": "outside", "out/x": "y"})
	moves := []Move{{Dir: filepath.Join(dir, "live"), Live: "a/b", Staged: ".mxp-new/a/b", Kept: ".mxp-old/a/b"}}
	must(t, os.RemoveAll(filepath.Join(dir, "live", "a")))
	must(t, os.Symlink(filepath.Join(dir, "out"), filepath.Join(dir, "live", "a")))
	for _, act := range []func(context.Context, []Move, func(int)) error{Do, Undo} {
		if err := act(t.Context(), moves, nil); !errors.Is(err, errNotDirectory) {
			t.Error(err)
		}
	}
	sameMap(t, "outside", texts(t, filepath.Join(dir, "out")), map[string]string{"b": "outside", "x": "y"})
}
