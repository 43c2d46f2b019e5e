package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"filippo.io/age"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// bucketDir is a bucket that is a directory, for tests in which the network is of no interest.
type bucketDir struct{ *store.Directory }

func (b bucketDir) SaveSummed(ctx context.Context, name string, size int64, content io.Reader) (store.Stored, error) {
	digest := sha256.New()
	size, err := b.Save(ctx, name, size, io.TeeReader(content, digest))
	return store.Stored{Size: size, SHA256: hex.EncodeToString(digest.Sum(nil))}, err
}

func (b bucketDir) SaveNew(ctx context.Context, name string, size int64, content io.Reader) (store.Stored, error) {
	if _, err := b.Stat(ctx, name); err == nil {
		return store.Stored{}, store.ErrExists
	}
	return b.SaveSummed(ctx, name, size, content)
}

// newBucket is an empty bucket in a directory, and the identity that opens what is encrypted in it.
func newBucket(t testing.TB, sealed bool) (dir string, to *Offsite) {
	t.Helper()
	dir = stand.TempDir(t)
	return dir, placeIn(t, bucketDir{store.NewDirectory(dir)}, sealed)
}

var testIdentity, _ = age.GenerateX25519Identity()

func placeIn(t testing.TB, objects store.Remote, sealed bool) *Offsite {
	t.Helper()
	if !sealed {
		return NewOffsite("test", objects, nil, nil)
	}
	return NewOffsite("test", objects, []age.Recipient{testIdentity.Recipient()}, []age.Identity{testIdentity})
}

func copyOptions(o Options, to *Offsite) CopyOptions {
	return CopyOptions{Dir: o.Config.Dir, Site: o.Site.Name, To: to, Clock: o.Clock, Logger: o.Logger}
}

// copyAll copies what must be whole afterwards.
func copyAll(t testing.TB, o CopyOptions) *Copied {
	t.Helper()
	copied, err := Copy(t.Context(), o, noRun{})
	if err != nil {
		t.Fatal(err)
	}
	return copied
}

// copy copies as it is told.
func (c *child) copy(run Run, at func(string)) error {
	var recipients []age.Recipient
	if c.Sealed != "" {
		recipient, err := age.ParseX25519Recipient(c.Sealed)
		if err != nil {
			return err
		}
		recipients = []age.Recipient{recipient}
	}
	to := NewOffsite("test", bucketDir{store.NewDirectory(c.Copy)}, recipients, nil)
	_, err := Copy(context.Background(), CopyOptions{Dir: c.Config.Dir, Site: c.Site.Name, To: to, At: at}, run)
	return err
}

func eachKind(t *testing.T, test func(t *testing.T, sealed bool)) {
	for name, sealed := range map[string]bool{"plain": false, "encrypted": true} {
		t.Run(name, func(t *testing.T) { test(t, sealed) })
	}
}

func TestCopySendsWhatIsNew(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, sealed bool) {
		_, o := newSite(t, stand.SiteOptions{})
		settle(&o)
		first := create(t, o)
		freshBlob(t, o, "something new")
		second := create(t, o)
		dir, to := newBucket(t, sealed)
		copied := copyAll(t, copyOptions(o, to))
		if !slices.Equal(copied.Backups, []string{second.ID, first.ID}) || copied.Whole != 2 {
			t.Errorf("%+v", copied)
		}
		for _, m := range []*Manifest{first, second} {
			if got, want := read(t, filepath.Join(dir, m.ID, manifestName)), read(t, filepath.Join(o.Config.Dir, "lms", m.ID, manifestName)); got != want {
				t.Error("the manifest has changed on its way")
			}
		}
		if _, err := os.Stat(filepath.Join(dir, second.ID, "database.sql.zst"+to.suffix)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("an unchanged dump was sent again: %v", err)
		}
		if again := copyAll(t, copyOptions(o, to)); again.Objects != 0 || len(again.Backups) != 0 || again.Whole != 2 {
			t.Errorf("the second copy: %+v", again)
		}
		freshBlob(t, o, "something newer")
		third := create(t, o)
		fresh := int64(1) // the content file
		for _, f := range third.Files {
			if f.SameAs == "" {
				fresh++
			}
		}
		if more := copyAll(t, copyOptions(o, to)); more.Objects != fresh || fresh > 5 || !slices.Equal(more.Backups, []string{third.ID}) {
			t.Errorf("the third copy, of %d objects: %+v", fresh, more)
		}
		nothingLeftOver(t, o)
	})
}

// TestCopyKilledAtEveryStep: whenever a copy dies, what was copied before stays whole, nothing in the bucket
// looks like a backup that is none, and the next copy sends only what is not there yet.
func TestCopyKilledAtEveryStep(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, sealed bool) {
		_, o := newSite(t, stand.SiteOptions{})
		settle(&o)
		for i := range 40 {
			freshBlob(t, o, fmt.Sprint("content ", i))
		}
		create(t, o)
		kill := child{Site: *o.Site, Config: o.Config}
		if sealed {
			kill.Sealed = testIdentity.Recipient().String()
		}
		dir, to := newBucket(t, sealed)
		options := copyOptions(o, to)
		copyAll(t, options)
		var steps []string
		var adding sync.Mutex // several objects are sent at a time
		freshBlob(t, o, "for the first step")
		create(t, o)
		create(t, o)
		options.At = func(step string) {
			adding.Lock()
			defer adding.Unlock()
			steps = append(steps, step)
		}
		copyAll(t, options)
		options.At = nil
		slices.Sort(steps)
		steps = slices.Compact(steps)
		for _, want := range []string{"look", "compare", "sent", "send newest", "manifest sent", "finish newest", "send", "finish", "mend"} {
			if !slices.Contains(steps, want) {
				t.Errorf("no step %s among %v", want, steps)
			}
		}
		for i, step := range steps {
			// Encrypted, a copy does all that it does otherwise, and keeps account of it besides.
			if !sealed && !proof() && !slices.Contains([]string{"look", "sent", "instructions sent", "manifest sent"}, step) {
				continue
			}
			freshBlob(t, o, fmt.Sprint("for step ", i))
			create(t, o)
			last := create(t, o)
			kill.Copy, kill.Step = dir, step
			before, err := ListOffsite(t.Context(), o.Config.Dir, "lms", to)
			must(t, err)
			runChild(t, kill)
			after, err := ListOffsite(t.Context(), o.Config.Dir, "lms", to)
			must(t, err)
			for _, c := range after {
				if !c.Good() {
					t.Errorf("killed after %s: the copy %s: %v", step, c.ID, c.Problem)
				}
			}
			if len(after) < len(before) || len(after) > len(before)+2 {
				t.Errorf("killed after %s: had %d copies, has %d", step, len(before), len(after))
			}
			copied := copyAll(t, options)
			if copied.Whole < len(before) || copied.Objects > 20 {
				t.Errorf("killed after %s: the next copy: %+v", step, copied)
			}
			copiesIntact(t, offsiteOptions(o, to))
			if latest, err := ShowOffsite(t.Context(), o.Config.Dir, "lms", Latest, to); err != nil || latest.ID != last.ID {
				t.Errorf("killed after %s: the latest copy is %s, %v", step, latest.ID, err)
			}
		}
		nothingLeftOver(t, o)
	})
}

// TestCopyResumes: a copy that was killed half way through many small files begins where it was.
func TestCopyResumes(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, sealed bool) {
		_, o := newSite(t, stand.SiteOptions{})
		settle(&o)
		for i := range 300 {
			freshBlob(t, o, fmt.Sprint("content ", i))
		}
		made := create(t, o)
		kill := child{Site: *o.Site, Config: o.Config, Bytes: made.Filedir.Size * 3 / 4}
		for _, f := range made.Files {
			kill.Bytes += f.Size
		}
		dir, to := newBucket(t, sealed)
		if kill.Copy = dir; sealed {
			kill.Sealed = testIdentity.Recipient().String()
		}
		runChild(t, kill)
		i, err := TakeInventory(t.Context(), o.Config.Dir, "lms", o.Clock())
		must(t, err)
		if i.Offsite.Place != "test" || i.Offsite.Pending < made.Filedir.Size {
			t.Errorf("after the kill still to copy: %+v", i.Offsite)
		}
		copied := copyAll(t, copyOptions(o, to))
		all := made.Filedir.Blobs + int64(len(made.Files))
		most := all / 2
		if sealed {
			most = all - inFlight // what was sent past an object that took its time is known no sooner than that one
		}
		if copied.Objects < all/8 || copied.Objects > most {
			t.Errorf("of %d objects the next copy has sent %d", all, copied.Objects)
		}
		copiesIntact(t, offsiteOptions(o, to))
	})
}

// TestDamagedFilesAreNotCopied: a local file that is not what it should be is named and not sent, all else
// is, and the next backup mends both.
func TestDamagedFilesAreNotCopied(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, sealed bool) {
		site, o := newSite(t, stand.SiteOptions{})
		settle(&o)
		o.Logger = nil
		first := create(t, o)
		victims := []sum{freshBlob(t, o, "the content of one victim"), freshBlob(t, o, "the content of another"), freshBlob(t, o, "and of a third")}
		second := create(t, o)
		pool := filepath.Join(o.Config.Dir, "lms", poolName)
		must(t, os.WriteFile(filepath.Join(pool, victims[0].path()), []byte("the content of One victim"), 0o600))
		must(t, os.Truncate(filepath.Join(pool, victims[1].path()), 3))
		must(t, os.Remove(filepath.Join(pool, victims[2].path())))
		dir, to := newBucket(t, sealed)
		copied, err := Copy(t.Context(), copyOptions(o, to), noRun{})
		var failed *CopyError
		if !errors.As(err, &failed) || failed.Damaged != 3 || !slices.Equal(failed.Backups, []string{second.ID}) || len(failed.Lost) != 0 || !slices.Equal(copied.Backups, []string{first.ID}) {
			t.Fatalf("%+v, %v", copied, err)
		}
		for _, v := range victims {
			if _, err := os.Stat(filepath.Join(dir, poolName, v.path()+to.suffix)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("a damaged file was copied: %v", err)
			}
		}
		copiesIntact(t, offsiteOptions(o, to))
		if more, err := FindToCopy(t.Context(), o.Config.Dir, "lms", to.Place); err != nil || more {
			t.Errorf("there is said to be more to copy: %v", err)
		}
		// The first is noticed by a verification, which moves it away, the others by their sizes.
		if found, _ := verify(t, verifyOptions(t, o)); len(found) != 3 {
			t.Errorf("found %v", found)
		}
		third := create(t, o)
		if copied := copyAll(t, copyOptions(o, to)); !slices.Equal(copied.Backups, []string{third.ID, second.ID}) {
			t.Errorf("%+v", copied)
		}
		copiesIntact(t, offsiteOptions(o, to))

		// An archive, a list.
		must(t, os.WriteFile(filepath.Join(site.CodeDir, "new.php"), []byte("<?php"), 0o644))
		freshBlob(t, o, "more")
		fourth := create(t, o)
		must(t, os.WriteFile(filepath.Join(site.CodeDir, "new.php"), []byte("<?php // newer"), 0o644))
		freshBlob(t, o, "still more")
		fifth := create(t, o)
		damageByte(t, filepath.Join(o.Config.Dir, "lms", fourth.ID, "code.tar.zst"))
		damageByte(t, filepath.Join(o.Config.Dir, "lms", fifth.ID, listName))
		if _, err = Copy(t.Context(), copyOptions(o, to), noRun{}); !errors.As(err, &failed) || failed.Damaged != 2 || len(failed.Backups) != 2 {
			t.Fatalf("%v", err)
		}
		copiesIntact(t, offsiteOptions(o, to))
	})
}

func damageByte(t *testing.T, name string) {
	t.Helper()
	content := []byte(read(t, name))
	content[len(content)/2] ^= 1
	must(t, os.WriteFile(name, content, 0o600))
}
