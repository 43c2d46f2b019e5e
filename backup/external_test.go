package backup

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/internal/job"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// objectfs puts content files where tool_objectfs would: location 2 is in the object storage alone.
func objectfs(t *testing.T, site *stand.Site, locations map[string]string) {
	t.Helper()
	table := quoteName(site.Prefix + objectfsTable)
	inDatabase(t, site, "CREATE TABLE IF NOT EXISTS "+table+" (id BIGINT AUTO_INCREMENT PRIMARY KEY, contenthash VARCHAR(40) NOT NULL UNIQUE, "+
		"timeduplicated BIGINT, location BIGINT NOT NULL, filesize BIGINT)")
	for hash, location := range locations {
		inDatabase(t, site, "REPLACE INTO "+table+" (contenthash, location) VALUES ('"+hash+"', "+location+")")
	}
}

// TestFilesInObjectStorage: what the site keeps in object storage is neither missing nor in the backup,
// and a backup without it is made, kept, and never called complete.
func TestFilesInObjectStorage(t *testing.T) {
	t.Parallel()
	site, o := newSite(t, stand.SiteOptions{})
	o.Site.Config.FileSystemClass = `\tool_objectfs\s3_file_system`
	hashes := namesOfFiles(t, site)
	away, pooled, trashed, local, failed, back := hashes[0], hashes[1], hashes[2], hashes[3], hashes[4], hashes[5]
	objectfs(t, site, map[string]string{away: "2", pooled: "2", trashed: "2", local: "1", failed: "-1", back: "2", strings.Repeat("f", 40): "2"})
	whole := create(t, o)
	if !whole.Complete() || whole.Filedir.External != 0 {
		t.Errorf("all is in filedir, and yet: %q, %+v", whole.Incomplete, whole.Filedir)
	}
	path := func(dir, hash string) string { return filepath.Join(dir, hash[:2], hash[2:4], hash) }
	pool := filepath.Join(SiteDir(o.Config.Dir, "lms"), poolName)
	for _, hash := range []string{away, pooled, trashed, failed, back} {
		must(t, os.MkdirAll(filepath.Dir(path(filepath.Join(site.Dataroot, "trashdir"), hash)), 0o770))
		must(t, os.Rename(path(filepath.Join(site.Dataroot, "filedir"), hash), path(filepath.Join(site.Dataroot, "trashdir"), hash)))
		if hash != pooled {
			must(t, os.Remove(path(pool, hash)))
		}
	}
	for _, hash := range []string{away, pooled, failed} {
		must(t, os.Remove(path(filepath.Join(site.Dataroot, "trashdir"), hash)))
	}
	o.At = func(step string) {
		if step == "delta" { // a request has fetched it
			must(t, os.Rename(path(filepath.Join(site.Dataroot, "trashdir"), back), path(filepath.Join(site.Dataroot, "filedir"), back)))
		}
	}
	manifest, err := Create(t.Context(), o, noRun{})
	var incomplete *IncompleteError
	var missing *MissingError
	if !errors.As(err, &incomplete) || !errors.Is(err, job.ErrPartial) || !errors.As(err, &missing) || manifest == nil {
		t.Fatalf("%v", err)
	}
	if f := manifest.Filedir; f.External != 1 || f.ExternalSize == 0 || f.Missing != 1 || f.Rescued != 1 {
		t.Errorf("%+v", f)
	}
	if manifest.Complete() || !strings.Contains(strings.Join(manifest.Warnings, "; "), "1 content files") {
		t.Errorf("%q, %v", manifest.Incomplete, manifest.Warnings)
	}
	for hash, want := range map[string]bool{away: false, pooled: true, trashed: true, local: true, failed: false, back: true} {
		listed := slices.ContainsFunc(listOf(t, o, manifest.ID), func(b blob) bool { return b.sum.String() == hash })
		if listed != want {
			t.Errorf("%s listed: %v, want %v", hash, listed, want)
		}
	}
	checkWhole(t, o, manifest.ID)
	if latest, err := Show(t.Context(), o.Config.Dir, "lms", Latest); err != nil || latest.ID != whole.ID {
		t.Errorf("latest is %s (%v), not the complete %s", latest.ID, err, whole.ID)
	}
	inventory, err := TakeInventory(t.Context(), o.Config.Dir, "lms", o.Clock())
	must(t, err)
	if inventory.Backups != 1 || inventory.Latest != whole.ID || inventory.Components[All].LastSuccess >= inventory.Components[Database].LastSuccess {
		t.Errorf("%+v", inventory)
	}
	o.At = nil
	must(t, AcceptMissing(t.Context(), o.Config.Dir, "lms", Acceptance{Missing: 1}, o.Clock()))
	if _, err = Create(t.Context(), o, noRun{}); !errors.As(err, &incomplete) || errors.As(err, &missing) {
		t.Errorf("the loss is accepted: %v", err)
	}
}

// TestUnknownFileSystem: a class that nobody here can ask is believed as long as all files are in filedir.
func TestUnknownFileSystem(t *testing.T) {
	t.Parallel()
	site, o := newSite(t, stand.SiteOptions{})
	o.Site.Config.FileSystemClass = `\local_elsewhere\file_system`
	if m := create(t, o); !m.Complete() {
		t.Errorf("all is in filedir, and yet: %s", m.Incomplete)
	}
	hash := namesOfFiles(t, site)[0]
	must(t, os.Remove(filepath.Join(site.Dataroot, "filedir", hash[:2], hash[2:4], hash)))
	must(t, os.RemoveAll(filepath.Join(SiteDir(o.Config.Dir, "lms"), poolName, hash[:2])))
	manifest, err := Create(t.Context(), o, noRun{})
	var incomplete *IncompleteError
	if !errors.As(err, &incomplete) || manifest.Complete() || manifest.Filedir.Missing != 1 || !strings.Contains(err.Error(), "local_elsewhere") {
		t.Errorf("%v, %+v", err, manifest.Filedir)
	}
	o.Components = []string{Files, Logs}
	if m := create(t, o); m.Complete() || !strings.Contains(m.Incomplete, "without the database") {
		t.Errorf("%q", m.Incomplete)
	}
}
