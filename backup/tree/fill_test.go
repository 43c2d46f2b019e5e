package tree

import (
	"bytes"
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// poolOf writes content files as a backup's pool has them, and lists them.
func poolOf(t testing.TB, dir string, contents ...string) []Blob {
	t.Helper()
	var blobs []Blob
	for _, content := range contents {
		b := Blob{sha1.Sum([]byte(content)), int64(len(content))}
		must(t, os.MkdirAll(filepath.Join(dir, b.leaf()), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, b.leaf(), b.name()), []byte(content), 0o644))
		blobs = append(blobs, b)
	}
	slices.SortFunc(blobs, func(a, b Blob) int { return bytes.Compare(a.SHA1[:], b.SHA1[:]) })
	return blobs
}

func many(n int) (contents []string) {
	for i := range n {
		contents = append(contents, strings.Repeat(fmt.Sprintln("content", i), 1+i%100))
	}
	contents[0] = "" // every Moodle has an empty file
	return append(contents, strings.Repeat("large", 1<<20))
}

func filling1(blobs []Blob, pool string) FillOptions {
	return FillOptions{
		Blobs: func(yield func(Blob) error) error {
			for _, b := range blobs {
				if err := yield(b); err != nil {
					return err
				}
			}
			return nil
		},
		LocalPath: func(b Blob) string { return filepath.Join(pool, b.leaf(), b.name()) },
		UID:       os.Getuid(), GID: os.Getgid(), DirMode: 0o2770, FileMode: 0o640,
		Logger: slog.New(slog.DiscardHandler),
	}
}

func size(blobs []Blob) (sum int64) {
	for _, b := range blobs {
		sum += b.Size
	}
	return sum
}

func TestFill(t *testing.T) {
	for _, remote := range []bool{false, true} {
		dir := tempDir(t)
		pool := filepath.Join(dir, "pool")
		blobs := poolOf(t, pool, many(500)...)
		live := openRoot(t, filepath.Join(dir, "filedir"))
		write(t, live.Name(), map[string]string{"warning.txt": "do not", "ab/cd/ab.tmp": "moodle's", FillName + "/x/y": "left from before"})
		o := filling1(blobs, pool)
		if os.Getuid() == 0 {
			o.UID, o.GID = 33, 44
		}
		var done atomic.Int64
		o.Progress = func(n int64) { done.Add(n) }
		if remote {
			local := o.LocalPath
			o.LocalPath = nil
			o.Open = func(_ context.Context, b Blob) (io.ReadCloser, error) { return os.Open(local(b)) }
		}
		o.DryRun = true
		planned, err := Fill(t.Context(), live, o)
		if err != nil || planned != (Filled{Added: 501, Bytes: size(blobs)}) {
			t.Errorf("planned %+v, %v", planned, err)
		}
		o.DryRun = false
		done.Store(0)
		filled, err := Fill(t.Context(), live, o)
		if err != nil || filled != planned || done.Load() != size(blobs) {
			t.Errorf("%+v, %v; %d bytes told", filled, err, done.Load())
		}
		want := texts(t, pool)
		want["warning.txt"], want["ab/cd/ab.tmp"] = "do not", "moodle's"
		sameMap(t, "filedir", texts(t, live.Name()), want)
		if _, err := live.Lstat(FillName); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the staging directory is left: %v", err)
		}
		for path, mode := range map[string]uint32{blobs[7].leaf(): 0o2770, blobs[7].leaf()[:2]: 0o2770, blobs[7].leaf() + "/" + blobs[7].name(): 0o640} {
			var s unix.Stat_t
			must(t, unix.Lstat(filepath.Join(live.Name(), path), &s))
			if s.Mode&0o7777 != mode || int(s.Uid) != o.UID || int(s.Gid) != o.GID {
				t.Errorf("%s: %o %d:%d", path, s.Mode, s.Uid, s.Gid)
			}
		}
		again, err := Fill(t.Context(), live, o)
		if err != nil || again != (Filled{Had: 501}) {
			t.Errorf("%+v, %v", again, err)
		}
	}
}

func TestFillRepairs(t *testing.T) {
	dir := tempDir(t)
	pool := filepath.Join(dir, "pool")
	blobs := poolOf(t, pool, many(20)...)
	live := openRoot(t, filepath.Join(dir, "filedir"))
	o := filling1(blobs, pool)
	if _, err := Fill(t.Context(), live, o); err != nil {
		t.Fatal(err)
	}
	path := func(i int) string { return filepath.Join(live.Name(), blobs[i].leaf(), blobs[i].name()) }
	content, err := os.ReadFile(path(0))
	must(t, err)
	content[0]++
	must(t, os.WriteFile(path(0), content, 0o600))                         // flipped
	must(t, os.Truncate(path(1), blobs[1].Size-1))                         // short
	must(t, os.WriteFile(path(2), make([]byte, 1), 0))                     // long or short
	must(t, errors.Join(os.Remove(path(3)), os.Symlink(path(4), path(3)))) // a link to something else
	must(t, errors.Join(os.Remove(path(5)), unix.Mkfifo(path(5), 0o600)))
	must(t, os.Remove(path(6)))
	before, err := os.Stat(path(8))
	must(t, err)
	o.TrustLive = true
	trusting, err := Fill(t.Context(), live, o)
	if err != nil || trusting.Repaired != 4 || trusting.Added != 1 || trusting.Had != 16 {
		t.Errorf("%+v, %v", trusting, err)
	}
	o.TrustLive = false
	filled, err := Fill(t.Context(), live, o)
	if err != nil || filled != (Filled{Had: 20, Repaired: 1, Bytes: blobs[0].Size}) {
		t.Errorf("%+v, %v", filled, err)
	}
	sameMap(t, "filedir", texts(t, live.Name()), texts(t, pool))
	if after, err := os.Stat(path(8)); err != nil || !os.SameFile(before, after) {
		t.Errorf("a sound file has been replaced: %v", err)
	}
}

func TestFillRefusesBadOrigins(t *testing.T) {
	broken := errors.New("broken")
	flipped := func(b Blob, content []byte) []byte { c := slices.Clone(content); c[0]++; return c }
	for name, test := range map[string]struct {
		open func(b Blob, content []byte) (io.ReadCloser, error)
		want error
	}{
		"flipped": {func(b Blob, c []byte) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(flipped(b, c))), nil
		}, ErrDamaged},
		"short": {func(_ Blob, c []byte) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(c[:len(c)-1])), nil }, ErrDamaged},
		"long": {func(_ Blob, c []byte) (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(bytes.NewReader(c), zeros{})), nil
		}, ErrDamaged},
		"missing": {func(Blob, []byte) (io.ReadCloser, error) { return nil, os.ErrNotExist }, os.ErrNotExist},
		"broken": {func(_ Blob, c []byte) (io.ReadCloser, error) {
			return io.NopCloser(io.MultiReader(bytes.NewReader(c[:1]), failing{broken})), nil
		}, broken},
	} {
		dir := tempDir(t)
		pool := filepath.Join(dir, "pool")
		blobs := poolOf(t, pool, many(30)...)
		live := openRoot(t, filepath.Join(dir, "filedir"))
		o := filling1(blobs, pool)
		local := o.LocalPath
		o.LocalPath = nil
		o.Open = func(_ context.Context, b Blob) (io.ReadCloser, error) {
			content, err := os.ReadFile(local(b))
			if err != nil || b != blobs[9] {
				return io.NopCloser(bytes.NewReader(content)), err
			}
			return test.open(b, content)
		}
		if _, err := Fill(t.Context(), live, o); !errors.Is(err, test.want) || !strings.Contains(err.Error(), blobs[9].name()) {
			t.Errorf("%s: %v", name, err)
		}
		if found := texts(t, live.Name()); found[blobs[9].leaf()+"/"+blobs[9].name()] != "" {
			t.Errorf("%s: it is there all the same", name)
		}
		var lost []Blob
		o.Lost = func(b Blob, err error) error {
			if lost = append(lost, b); !errors.Is(err, test.want) {
				t.Errorf("%s: %v", name, err)
			}
			return nil
		}
		filled, err := Fill(t.Context(), live, o)
		if err != nil || filled.Lost != 1 || filled.Had+filled.Added != 30 || !slices.Equal(lost, blobs[9:10]) {
			t.Errorf("%s: %+v, lost %v, %v", name, filled, lost, err)
		}
	}
}

type failing struct{ error }

func (f failing) Read([]byte) (int, error) { return 0, f.error }

// TestFillFails: what cannot be done ends it in words, and leaves no torn file and nothing of its own.
func TestFillFails(t *testing.T) {
	broken := errors.New("broken")
	for name, test := range map[string]struct {
		prepare func(dir string, blobs []Blob, o *FillOptions) error
		want    string
	}{
		"a link where a directory belongs": {func(dir string, blobs []Blob, _ *FillOptions) error {
			return errors.Join(os.Mkdir(filepath.Join(dir, "out"), 0o755), os.Symlink("../out", filepath.Join(dir, "filedir", blobs[3].leaf()[:2])))
		}, "is a link or a file"},
		"a directory where a file belongs": {func(dir string, blobs []Blob, _ *FillOptions) error {
			return os.MkdirAll(filepath.Join(dir, "filedir", blobs[3].leaf(), blobs[3].name()), 0o755)
		}, "is a directory, where a content file belongs"},
		"a list that breaks off": {func(_ string, blobs []Blob, o *FillOptions) error {
			o.Blobs = func(yield func(Blob) error) error { return errors.Join(yield(blobs[0]), broken) }
			return nil
		}, "broken"},
		"a list with doubles": {func(_ string, blobs []Blob, o *FillOptions) error {
			o.Blobs = func(yield func(Blob) error) error { return errors.Join(yield(blobs[0]), yield(blobs[0])) }
			return nil
		}, "twice"},
	} {
		dir := tempDir(t)
		blobs := poolOf(t, filepath.Join(dir, "pool"), many(300)...)
		live := openRoot(t, filepath.Join(dir, "filedir"))
		o := filling1(blobs, filepath.Join(dir, "pool"))
		must(t, test.prepare(dir, blobs, &o))
		if _, err := Fill(t.Context(), live, o); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
		soundOnly(t, live.Name(), filepath.Join(dir, "pool"))
		if out, err := os.ReadDir(filepath.Join(dir, "out")); err == nil && len(out) > 0 {
			t.Errorf("%s: outside there is %v", name, out)
		}
	}
}

// soundOnly checks that every file of a filedir is as in the pool, and nothing else is there.
func soundOnly(t *testing.T, live, pool string) {
	t.Helper()
	good := texts(t, pool)
	for name, content := range texts(t, live) {
		if len(filepath.Base(name)) == 40 && content != "" && good[name] != content && !strings.HasPrefix(content, "-> ") {
			t.Errorf("%s is torn", name)
		}
	}
	if _, err := os.Lstat(filepath.Join(live, FillName)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the staging directory is left: %v", err)
	}
}

func TestFillOnAFullDisk(t *testing.T) {
	dir := tempDir(t)
	blobs := poolOf(t, filepath.Join(dir, "pool"), many(300)...)
	live := filepath.Join(dir, "filedir")
	mount(t, "tmpfs", live, "tmpfs", 0, "size=2m")
	root, err := os.OpenRoot(live)
	must(t, err)
	defer root.Close()
	if _, err := Fill(t.Context(), root, filling1(blobs, filepath.Join(dir, "pool"))); !errors.Is(err, unix.ENOSPC) {
		t.Error(err)
	}
	soundOnly(t, live, filepath.Join(dir, "pool"))
}

func TestFillIsInterrupted(t *testing.T) {
	dir := tempDir(t)
	blobs := poolOf(t, filepath.Join(dir, "pool"), many(300)...)
	live := openRoot(t, filepath.Join(dir, "filedir"))
	o := filling1(blobs, filepath.Join(dir, "pool"))
	ctx, cancel := context.WithCancel(t.Context())
	var once sync.Once
	o.Progress = func(int64) { once.Do(cancel) }
	if _, err := Fill(ctx, live, o); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	soundOnly(t, live.Name(), filepath.Join(dir, "pool"))
	o.Progress = nil
	if filled, err := Fill(t.Context(), live, o); err != nil || filled.Had+filled.Added != 301 {
		t.Errorf("%+v, %v", filled, err)
	}
}
