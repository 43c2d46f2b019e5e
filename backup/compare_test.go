package backup

import (
	"context"
	"crypto/sha1"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// putBlob writes a content file, named by its content, into a tree.
func putBlob(t *testing.T, dir, content string) blob {
	t.Helper()
	b := blob{sha1.Sum([]byte(content)), int64(len(content))}
	path := filepath.Join(dir, b.sum.path())
	must(t, os.MkdirAll(filepath.Dir(path), 0o700))
	must(t, os.WriteFile(path, []byte(content), 0o600))
	return b
}

func poolOf(t *testing.T, site, own string) *pool {
	t.Helper()
	p := &pool{run: noRun{}, log: slog.New(slog.DiscardHandler)}
	var err error
	p.site, err = openTree(site)
	must(t, err)
	p.own, err = openTree(own)
	must(t, err)
	t.Cleanup(p.close)
	return p
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(entries)
}

// TestCompare: every content file once, in order, each with what the pool has of it, and nothing stays open. It
// counts the descriptors of the whole program, so no other test may run beside it.
func TestCompare(t *testing.T) {
	site, own := t.TempDir(), t.TempDir()
	want := map[blob]bool{}
	replaced := false
	for i := range 3000 {
		content := fmt.Sprint("content ", i)
		b := putBlob(t, site, content)
		want[b] = i%3 != 0
		if i%3 == 0 {
			putBlob(t, own, content)
		}
		if i%300 == 1 { // torn in the pool
			putBlob(t, own, content)
			must(t, os.Truncate(filepath.Join(own, b.sum.path()), 3))
			replaced = true
		}
	}
	for i := range 500 {
		putBlob(t, own, fmt.Sprint("gone from the site ", i))
	}
	p := poolOf(t, site, own)
	descriptors := openDescriptors(t)
	var last sum
	must(t, p.compare(t.Context(), func(b blob, lacking bool) error {
		if compareSums(last, b.sum) >= 0 {
			t.Errorf("%s comes after %s", b.sum, last)
		}
		if expected, there := want[b]; !there || expected != lacking {
			t.Errorf("%s of %d bytes: lacking %v", b.sum, b.size, lacking)
		}
		last = b.sum
		delete(want, b)
		return nil
	}))
	if len(want) > 0 || p.replaced.Load() != replaced || p.unreadable != 0 {
		t.Errorf("%d files were not seen, replaced: %v, unreadable: %d", len(want), p.replaced.Load(), p.unreadable)
	}
	enough := errors.New("enough")
	if err := p.compare(t.Context(), func(blob, bool) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("an error of who is told ends the walk with %v", err)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := p.compare(ended, func(blob, bool) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("a walk that is not to be ends with %v", err)
	}
	if left := openDescriptors(t); left != descriptors {
		t.Errorf("%d descriptors were open, %d are", descriptors, left)
	}
}

// TestTreesThatLeadElsewhere: links are followed within filedir and not out of it, whatever level they lie on.
func TestTreesThatLeadElsewhere(t *testing.T) {
	site, elsewhere := t.TempDir(), t.TempDir()
	var want, got []string
	moved := map[string]bool{}
	for i := range 60 {
		b := putBlob(t, site, fmt.Sprint("file ", i))
		first, leaf := b.sum.path()[:2], b.sum.path()[:5]
		if moved[first] {
			continue
		}
		moved[first] = true
		at, to := first, filepath.Join(elsewhere, first)
		switch i % 4 {
		case 1: // the second level
			at, to = leaf, filepath.Join(elsewhere, first)
		case 2: // within
			to = filepath.Join(site, "moved-"+first)
		case 3:
			at, to = leaf, filepath.Join(site, "moved-"+first)
		}
		must(t, os.Rename(filepath.Join(site, at), to))
		target := to
		if i%4 >= 2 {
			target, _ = filepath.Rel(filepath.Dir(filepath.Join(site, at)), to)
			want = append(want, b.sum.String())
		}
		must(t, os.Symlink(target, filepath.Join(site, at)))
	}
	// Only those that were moved are asked for: others may share a directory with them.
	p := poolOf(t, site, t.TempDir())
	must(t, p.compare(t.Context(), func(b blob, _ bool) error {
		got = append(got, b.sum.String())
		return nil
	}))
	for _, hash := range want {
		if !slices.Contains(got, hash) {
			t.Errorf("%s, behind a link within filedir, is not seen", hash)
		}
	}
	for _, hash := range got {
		path, err := filepath.EvalSymlinks(filepath.Join(site, hash[:2], hash[2:4], hash))
		must(t, err)
		if strings.HasPrefix(path, elsewhere) {
			t.Errorf("%s was found outside of filedir", hash)
		}
	}
	if p.unreadable < 5 || len(want) < 5 {
		t.Errorf("%d links lead out and %d not: too few to try anything", p.unreadable, len(want))
	}
}
