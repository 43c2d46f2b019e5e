package store_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

func newDirectory(t *testing.T) (*store.Directory, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "a", "b")
	d := store.NewDirectory(dir)
	if err := d.Make(); err != nil {
		t.Fatal(err)
	}
	return d, dir
}

// files are the names of everything below dir.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	if err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			name, _ := filepath.Rel(dir, path)
			names = append(names, name)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return names
}

func TestSaveIsAllOrNothing(t *testing.T) {
	broken := errors.New("broken")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		ctx     context.Context
		name    string
		size    int64
		content io.Reader
		want    error
	}{
		"whole":          {t.Context(), "x/y", 5, strings.NewReader("12345"), nil},
		"unknown length": {t.Context(), "x/y", store.Unknown, strings.NewReader("12345"), nil},
		"too short":      {t.Context(), "x/y", 6, strings.NewReader("12345"), store.ErrShort},
		"too long":       {t.Context(), "x/y", 4, strings.NewReader("12345"), store.ErrShort},
		"broken off":     {t.Context(), "x/y", 5, io.MultiReader(strings.NewReader("123"), iotest.ErrReader(broken)), broken},
		"cancelled":      {cancelled, "x/y", 5, strings.NewReader("12345"), context.Canceled},
		"leading out":    {t.Context(), "../y", 5, strings.NewReader("12345"), os.ErrInvalid},
		"absolute":       {t.Context(), "/tmp/y", 5, strings.NewReader("12345"), os.ErrInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			d, dir := newDirectory(t)
			n, err := d.Save(test.ctx, test.name, test.size, test.content)
			if !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			if test.want != nil {
				if left := files(t, filepath.Dir(filepath.Dir(dir))); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
				return
			}
			file, err := d.Open(t.Context(), "x/y")
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			content, err := io.ReadAll(file)
			info, statErr := d.Stat(t.Context(), "x/y")
			if err != nil || statErr != nil || string(content) != "12345" || n != 5 || info.Size != 5 || info.Name != "x/y" {
				t.Errorf("read %q, %v; %+v, %v", content, err, info, statErr)
			}
			if mode, err := os.Stat(filepath.Join(dir, "x", "y")); err != nil || mode.Mode().Perm() != 0o600 {
				t.Errorf("%v, %v", mode.Mode(), err)
			}
		})
	}
}

func TestDirectoryListsAndRemoves(t *testing.T) {
	d, dir := newDirectory(t)
	for _, name := range []string{"b/2", "a/1", "b/1", "c", "a/x/1"} {
		if _, err := d.Save(t.Context(), name, 1, bytes.NewReader([]byte("x"))); err != nil {
			t.Fatal(err)
		}
	}
	for _, hidden := range []string{store.Prefix + "new/1", "b/" + store.Prefix + "1"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, hidden)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, hidden), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list := func(prefix string) (names []string) {
		if err := d.List(t.Context(), prefix, func(i store.Info) error { names = append(names, i.Name); return nil }); err != nil {
			t.Error(err)
		}
		return names
	}
	if got, want := list(""), []string{"a/1", "a/x/1", "b/1", "b/2", "c"}; !slices.Equal(got, want) {
		t.Errorf("lists %v, want %v", got, want)
	}
	if dirs, err := d.Dirs(t.Context()); err != nil || !slices.Equal(dirs, []string{"a", "b"}) {
		t.Errorf("directories %v, %v", dirs, err)
	}
	if err := errors.Join(d.Remove(t.Context(), "a/1"), d.Remove(t.Context(), "a/1"), d.Rename("b", "z"), d.Link("z/1", "a/1"), d.Link("z/2", "a/1"), d.RemoveTree("a/x")); err != nil {
		t.Error(err)
	}
	if got, want := list(""), []string{"a/1", "c", "z/1", "z/2"}; !slices.Equal(got, want) {
		t.Errorf("lists %v, want %v", got, want)
	}
	if got := list("nowhere"); got != nil {
		t.Errorf("lists %v", got)
	}
	if _, err := d.Stat(t.Context(), "b/1"); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
	if _, err := d.Open(t.Context(), "b/1"); !errors.Is(err, store.ErrNotFound) {
		t.Error(err)
	}
	stop := errors.New("stop")
	if err := d.List(t.Context(), "", func(store.Info) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
}

func TestBatchNamesFilesOnlyWhenTheyAreOnDisk(t *testing.T) {
	d, dir := newDirectory(t)
	batch, err := d.Batch("pool/" + store.Prefix + "s")
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := batch.Add("pool/aa/1", func(f *os.File) error { _, err := f.WriteString("one"); return err }); err != nil {
		t.Fatal(err)
	}
	if err := batch.Add("pool/aa/2", func(*os.File) error { return broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	if err := batch.Add("../2", func(*os.File) error { return nil }); !errors.Is(err, os.ErrInvalid) {
		t.Error(err)
	}
	if got := files(t, filepath.Join(dir, "pool")); len(got) != 1 || !strings.HasPrefix(got[0], store.Prefix) {
		t.Errorf("before the commit there are %v", got)
	}
	if err := errors.Join(batch.Commit(), batch.Commit()); err != nil {
		t.Fatal(err)
	}
	if got := files(t, filepath.Join(dir, "pool")); !slices.Equal(got, []string{"aa/1"}) {
		t.Errorf("after the commit there are %v", got)
	}
}
