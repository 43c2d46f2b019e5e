package backup

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// TestPinnedBackupsStay: what is being copied is not pruned, and is once that has ended.
func TestPinnedBackupsStay(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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
