package backup

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// settle makes everything of the site look as if nobody had touched it for a while.
func settle(o *Options) {
	was := o.Clock
	o.Clock = func() time.Time { return was().Add(time.Minute) }
}

func TestSecondBackupStoresOnlyWhatIsNew(t *testing.T) {
	t.Parallel()
	site, o := newSite(t, stand.SiteOptions{})
	settle(&o)
	first := create(t, o)
	if first.Filedir.NewBlobs != first.Filedir.Blobs || first.Written(Files) == 0 {
		t.Errorf("the first backup has stored %d of %d content files", first.Filedir.NewBlobs, first.Filedir.Blobs)
	}
	added := freshBlob(t, o, "something new")
	must(t, os.WriteFile(filepath.Join(site.CodeDir, "new.php"), []byte("<?php"), 0o644))
	// Another time, the same content.
	log := filepath.Join(filepath.Dir(site.CodeDir), "etc", "log", "nginx", "access.log")
	info, err := os.Stat(log)
	must(t, err)
	must(t, os.WriteFile(log, []byte(read(t, log)), 0o640))
	must(t, os.Chtimes(log, time.Time{}, info.ModTime()))
	second := create(t, o)
	if f := second.Filedir; f.NewBlobs != 1 || f.NewSize != int64(len("something new")) || f.Blobs != first.Filedir.Blobs+1 {
		t.Errorf("content files: %+v", f)
	}
	for name, shared := range map[string]bool{
		"code.tar.zst": false, "system.tar.zst": true, "logs.tar.zst": true, "config.tar.zst": true, "database.sql.zst": true, "filedir.list.zst": false,
	} {
		file, found := second.File(name)
		var a, b syscall.Stat_t
		must(t, syscall.Stat(filepath.Join(o.Config.Dir, "lms", first.ID, name), &a))
		must(t, syscall.Stat(filepath.Join(o.Config.Dir, "lms", second.ID, name), &b))
		if !found || (file.SameAs == first.ID) != shared || (a.Ino == b.Ino) != shared {
			t.Errorf("%s: shared with %q, inodes %d and %d", name, file.SameAs, a.Ino, b.Ino)
		}
	}
	if second.Written(System) != 0 || second.Size(System) != first.Size(System) || second.Written(Code) == 0 {
		t.Errorf("written %d, size %d and %d", second.Written(System), second.Size(System), first.Size(System))
	}
	// The pool's own file is damaged: told by its size, mended from the site.
	must(t, os.WriteFile(filepath.Join(o.Config.Dir, "lms", poolName, added.path()), nil, 0o600))
	third := create(t, o)
	checkWhole(t, o, first.ID)
	checkWhole(t, o, third.ID)

	if early, err := TakeInventory(t.Context(), o.Config.Dir, "lms", o.Clock().Add(-time.Hour)); err != nil || early.Backups != 0 || len(early.Problems) == 0 {
		t.Errorf("backups from the future count: %+v, %v", early, err)
	}
	inventory, err := TakeInventory(t.Context(), o.Config.Dir, "lms", o.Clock())
	must(t, err)
	if i := inventory; i.Backups != 3 || i.Latest != third.ID || i.Missing == nil || *i.Missing != 0 || len(i.Components) != 7 || len(i.Problems) != 0 ||
		i.Components[All].Size == 0 || i.Components[Database].Baseline == 0 || i.SameFilesystem == nil || !*i.SameFilesystem || i.BaselineTime <= 0 {
		t.Errorf("%+v", i)
	}
	if got, want := inventory.StoredBytes, stored(t, SiteDir(o.Config.Dir, "lms")); got != want {
		t.Errorf("%d bytes are stored, the inventory says %d", want, got)
	}
}

// stored adds up the files on disk, but for manifests and remarks, each inode once.
func stored(t *testing.T, dir string) (size int64) {
	t.Helper()
	seen := map[uint64]bool{}
	must(t, filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || slices.Contains([]string{manifestName, "usage.json"}, entry.Name()) {
			return err
		}
		info, err := entry.Info()
		if err == nil && !seen[info.Sys().(*syscall.Stat_t).Ino] {
			seen[info.Sys().(*syscall.Stat_t).Ino] = true
			size += info.Size()
		}
		return err
	}))
	return size
}

func TestSomeComponents(t *testing.T) {
	t.Parallel()
	_, o := newSite(t, stand.SiteOptions{})
	whole := create(t, o)
	o.Components = []string{Database}
	part := create(t, o)
	if part.Complete() || !whole.Complete() || part.Has(Files) || len(part.Files) != 2 {
		t.Errorf("%+v", part)
	}
	if latest, err := Show(t.Context(), o.Config.Dir, "lms", Latest); err != nil || latest.ID != whole.ID {
		t.Errorf("latest is %s (%v), not the complete %s", latest.ID, err, whole.ID)
	}
	o.Components = []string{Files, Logs}
	files := create(t, o)
	if files.Filedir.Blobs != whole.Filedir.Blobs || files.Database != nil {
		t.Errorf("%+v", files.Filedir)
	}
	checkWhole(t, o, files.ID)
	if _, err := Show(t.Context(), o.Config.Dir, "lms", "20200101T000000Z"); !errors.Is(err, ErrNoSuchBackup) {
		t.Error(err)
	}
}

func TestPlanChangesNothing(t *testing.T) {
	t.Parallel()
	site, o := newSite(t, stand.SiteOptions{})
	plan, err := MakePlan(t.Context(), o)
	must(t, err)
	if _, err := os.Stat(o.Config.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the backup directory was made (%v)", err)
	}
	if plan.NewBlobs == 0 || plan.NewSize == 0 || plan.Need < plan.NewSize || len(plan.Components) != 6 {
		t.Errorf("%+v", plan)
	}
	settle(&o)
	create(t, o)
	must(t, os.WriteFile(filepath.Join(site.CodeDir, "x.php"), nil, 0o644))
	before := describeTree(t, o.Config.Dir, nil)
	plan, err = MakePlan(t.Context(), o)
	must(t, err)
	if after := describeTree(t, o.Config.Dir, nil); !slices.Equal(before, after) {
		t.Error("a plan has changed the backup directory")
	}
	var text strings.Builder
	must(t, plan.Text(&text))
	if plan.NewBlobs != 0 || strings.Count(text.String(), "unchanged") != 3 { // files, logs, system
		t.Errorf("%+v\n%s", plan, text.String())
	}
}

func TestOneBackupASecond(t *testing.T) {
	t.Parallel()
	_, o := newSite(t, stand.SiteOptions{})
	o.Components = []string{Logs}
	now := time.Now()
	o.Clock = func() time.Time { return now }
	waits := 0
	o.Wait = func(context.Context, time.Duration) error {
		waits++
		now = now.Add(time.Second)
		return nil
	}
	create(t, o)
	create(t, o)
	if waits != 1 || len(ids(t, o)) != 2 {
		t.Errorf("waited %d times, have %v", waits, ids(t, o))
	}
}

func TestOldBackupsAndTheirContentGo(t *testing.T) {
	t.Parallel()
	site, o := newSite(t, stand.SiteOptions{})
	o.Config.Keep = config.Keep{Last: 2}
	later := time.Duration(0)
	now := o.Clock
	o.Clock = func() time.Time { return now().Add(later) }
	old := freshBlob(t, o, "only in the first")
	var made []*Manifest
	for i := range 4 {
		made = append(made, create(t, o))
		later += 48 * time.Hour
		if i == 0 {
			must(t, os.Remove(filepath.Join(site.Dataroot, "filedir", old.path())))
		}
	}
	if got, want := ids(t, o), []string{made[2].ID, made[3].ID}; !slices.Equal(got, want) {
		t.Errorf("there are %v, want %v", got, want)
	}
	dir := SiteDir(o.Config.Dir, "lms")
	if _, err := os.Stat(filepath.Join(dir, poolName, old.path())); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("content of a removed backup is still there (%v)", err)
	}
	checkWhole(t, o, made[2].ID)
	checkWhole(t, o, made[3].ID)

	// Whatever is not understood stops the sweep.
	unneeded := freshBlob(t, o, "unneeded")
	pooled := filepath.Join(dir, poolName, unneeded.path())
	must(t, os.MkdirAll(filepath.Dir(pooled), 0o700))
	must(t, os.Rename(filepath.Join(site.Dataroot, "filedir", unneeded.path()), pooled))
	p := &pruner{store: store.NewDirectory(dir), keep: o.Config.Keep, now: o.Clock(), at: func(string) {}}
	list := filepath.Join(dir, made[3].ID, listName)
	manifest := filepath.Join(dir, made[3].ID, manifestName)
	for name, damage := range map[string]func(){
		"a list that is cut":       func() { must(t, os.Truncate(list, 30)) },
		"a list of somebody else":  func() { must(t, os.WriteFile(list, compressText(t, ""), 0o600)) },
		"a manifest that is none":  func() { must(t, os.WriteFile(manifest, []byte("{"), 0o600)) },
		"a manifest of the future": func() { must(t, os.WriteFile(manifest, []byte(`{"format":2}`), 0o600)) },
		"a directory without one":  func() { must(t, os.Remove(manifest)) },
		"no list":                  func() { must(t, os.Remove(list)) },
	} {
		wasList, wasManifest := read(t, list), read(t, manifest)
		damage()
		if err := p.sweep(t.Context(), true); err == nil {
			t.Errorf("%s: swept all the same", name)
		}
		if _, err := os.Stat(pooled); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		must(t, os.WriteFile(list, []byte(wasList), 0o600))
		must(t, os.WriteFile(manifest, []byte(wasManifest), 0o600))
	}
	p.now = time.Now()
	must(t, p.sweep(t.Context(), true))
	if _, err := os.Stat(pooled); err != nil {
		t.Errorf("what came a moment ago is gone: %v", err)
	}
	p.now = o.Clock()
	must(t, p.sweep(t.Context(), true))
	if _, err := os.Stat(pooled); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what no backup needs is still there (%v)", err)
	}
	checkWhole(t, o, made[3].ID)
}
