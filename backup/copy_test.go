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
	"testing"
	"time"

	"filippo.io/age"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
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
		freshBlob(t, o, "for the first step")
		create(t, o)
		create(t, o)
		options.At = func(step string) { steps = append(steps, step) }
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
		if all := made.Filedir.Blobs + int64(len(made.Files)); copied.Objects < all/8 || copied.Objects > all/2 {
			t.Errorf("of %d objects the next copy has sent %d", all, copied.Objects)
		}
		copiesIntact(t, offsiteOptions(o, to))
	})
}

// TestDamagedFilesAreNotCopied: a local file that is not what it should be is named and not sent, all else
// is, and the next backup mends both.
func TestDamagedFilesAreNotCopied(t *testing.T) {
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

// TestPinnedBackupsStay: what is being copied is not pruned, and is once that has ended.
func TestPinnedBackupsStay(t *testing.T) {
	_, o := newSite(t, stand.SiteOptions{})
	settle(&o)
	first := create(t, o)
	gone := freshBlob(t, o, "soon to go")
	create(t, o)
	removeBlob(t, o, gone)
	create(t, o)
	later := o.Clock().Add(100 * 24 * time.Hour)
	prune := PruneOptions{Dir: o.Config.Dir, Site: "lms", Keep: config.Keep{Last: 1}, Clock: func() time.Time { return later }}
	dir, to := newBucket(t, false)
	options := copyOptions(o, to)
	options.At = func(step string) {
		if step != "compare" {
			return
		}
		pruning, err := Prune(t.Context(), prune, noRun{})
		must(t, err)
		if len(ids(t, o)) != 3 || pruning.Blobs != 0 || !slices.Contains(pruning.Decisions[0].Reasons, errPinned.Error()) {
			t.Errorf("pruned while it was copied: %+v", pruning)
		}
		o.Config.Keep = config.Keep{Last: 1}
		create(t, o)
	}
	if copied := copyAll(t, options); copied.Whole != 3 {
		t.Errorf("%+v", copied)
	}
	copiesIntact(t, offsiteOptions(o, to))
	if more, err := FindToCopy(t.Context(), o.Config.Dir, "lms", to.Place); err != nil || !more {
		t.Errorf("the backup that was made meanwhile is not to be copied: %v", err)
	}
	pruning, err := Prune(t.Context(), prune, noRun{})
	must(t, err)
	if got := ids(t, o); len(got) != 1 || pruning.Decisions[0].ID != first.ID || pruning.Blobs == 0 {
		t.Errorf("after the copy: %v, %+v", got, pruning)
	}
	if _, err := os.Stat(filepath.Join(dir, first.ID, manifestName)); err != nil {
		t.Error(err) // the bucket has rules of its own
	}
	pin, err := PinBackup(store.NewDirectory(SiteDir(o.Config.Dir, "lms")), first.ID)
	if !errors.Is(err, ErrNoSuchBackup) {
		t.Errorf("%v, %v", pin, err)
	}
}

// removeBlob deletes a content file of the site, as Moodle does in the end.
func removeBlob(t *testing.T, o Options, s sum) {
	t.Helper()
	must(t, os.Remove(filepath.Join(filedir(o.Site), s.path())))
}

// TestPending: what still has to be copied is never told too small, whatever became of the last copy.
func TestPending(t *testing.T) {
	site, o := newSite(t, stand.SiteOptions{})
	settle(&o)
	pending := func() (int64, Inventory) {
		i, err := TakeInventory(t.Context(), o.Config.Dir, "lms", o.Clock())
		must(t, err)
		return i.Offsite.Pending, i
	}
	if p, _ := pending(); p != 0 {
		t.Errorf("without a backup %d", p)
	}
	create(t, o)
	if p, i := pending(); p != i.StoredBytes || p == 0 || i.Offsite.Place != "" {
		t.Errorf("before the first copy %d of %d", p, i.StoredBytes)
	}
	_, to := newBucket(t, false)
	gone := copyOptions(o, NewOffsite("test", goneBucket{}, nil, nil))
	if _, err := Copy(t.Context(), gone, noRun{}); err == nil {
		t.Error("copied to nowhere")
	}
	if p, i := pending(); p != i.StoredBytes {
		t.Errorf("after a copy that failed %d of %d", p, i.StoredBytes)
	}
	copyAll(t, copyOptions(o, to))
	if p, i := pending(); p != 0 || i.Offsite.Place != "test" {
		t.Errorf("after the copy %d, %+v", p, i.Offsite)
	}
	must(t, os.WriteFile(filepath.Join(site.CodeDir, "new.php"), []byte("<?php"), 0o644))
	freshBlob(t, o, "something new")
	second := create(t, o)
	want := total((*Manifest).Written)(second)
	if p, _ := pending(); p != want || want == 0 {
		t.Errorf("after the next backup %d, not %d", p, want)
	}
	if _, err := Copy(t.Context(), gone, noRun{}); err == nil {
		t.Error("copied to nowhere")
	}
	if p, _ := pending(); p != want {
		t.Errorf("after a copy that failed %d, not %d", p, want)
	}
	copyAll(t, copyOptions(o, to))
	if p, _ := pending(); p != 0 {
		t.Errorf("after the second copy %d", p)
	}
}

// goneBucket does not answer.
type goneBucket struct{ bucketDir }

func (goneBucket) List(context.Context, string, func(store.Info) error) error {
	return store.ErrUnreachable
}

// TestEncryptionComesAndGoes: copies from before encryption was asked for are made again, and stay readable
// until then; without it the encrypted ones stay as they are.
func TestEncryptionComesAndGoes(t *testing.T) {
	_, o := newSite(t, stand.SiteOptions{})
	settle(&o)
	first := create(t, o)
	dir, plain := newBucket(t, false)
	sealed := placeIn(t, bucketDir{store.NewDirectory(dir)}, true)
	copyAll(t, copyOptions(o, plain))
	copiesIntact(t, offsiteOptions(o, sealed))
	freshBlob(t, o, "new")
	create(t, o)
	if copied := copyAll(t, copyOptions(o, sealed)); len(copied.Backups) != 2 || copied.Whole != 2 {
		t.Errorf("with encryption: %+v", copied)
	}
	copiesIntact(t, offsiteOptions(o, sealed))
	// What is not encrypted goes with the next pruning.
	later := o.Clock().Add(60 * 24 * time.Hour)
	_, err := PruneOffsite(t.Context(), OffsitePruneOptions{Dir: o.Config.Dir, Site: "lms", From: sealed, Keep: config.Keep{Last: 2}, Clock: func() time.Time { return later }}, nil)
	must(t, err)
	must(t, filepath.WalkDir(dir, func(name string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && !isSealed(name) && !staysPlain(filepath.Base(name)) {
			t.Errorf("still not encrypted: %s", name)
		}
		return err
	}))
	copiesIntact(t, offsiteOptions(o, sealed))
	must(t, os.Remove(filepath.Join(o.Config.Dir, "lms", sealedName)))
	if copied := copyAll(t, copyOptions(o, sealed)); copied.Objects != 0 {
		t.Errorf("without the list of what is there %+v was sent again", copied)
	}
	view, err := ShowOffsite(t.Context(), o.Config.Dir, "lms", first.ID, sealed)
	must(t, err)
	for place, wanted := range map[*Offsite]bool{sealed: true, plain: false} {
		_, err := NewReader(place.Reading(), view.Manifest).Open(t.Context(), databaseName)
		if (err == nil) != wanted || !wanted && !errors.Is(err, store.ErrSealed) {
			t.Errorf("readable: %v, %v", wanted, err)
		}
	}
	freshBlob(t, o, "newer")
	third := create(t, o)
	if copied := copyAll(t, copyOptions(o, plain)); !slices.Equal(copied.Backups, []string{third.ID}) || copied.Whole != 3 {
		t.Errorf("without encryption: %+v", copied)
	}
	copiesIntact(t, offsiteOptions(o, sealed))
}
