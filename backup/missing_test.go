package backup

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/internal/job"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

func TestFilesThatAreNotThere(t *testing.T) {
	t.Parallel()
	site, o := newSite(t, stand.SiteOptions{})
	hashes := namesOfFiles(t, site)
	move := func(hash, to string) {
		must(t, os.MkdirAll(filepath.Join(site.Dataroot, to, hash[:2], hash[2:4]), 0o770))
		must(t, os.Rename(filepath.Join(site.Dataroot, "filedir", hash[:2], hash[2:4], hash), filepath.Join(site.Dataroot, to, hash[:2], hash[2:4], hash)))
	}
	trashed, lost, damaged, deleted := hashes[0], hashes[1], hashes[2], hashes[3]
	move(trashed, "trashdir")
	move(lost, "elsewhere")
	must(t, os.WriteFile(filepath.Join(site.Dataroot, "filedir", damaged[:2], damaged[2:4], damaged), []byte("flipped"), 0o600))
	foreign := freshBlob(t, o, "named by no row")
	o.At = func(step string) {
		if step == "dump" { // copied, in the snapshot, and then deleted
			move(deleted, "elsewhere")
		}
	}
	manifest, err := Create(t.Context(), o, noRun{})
	var missing *MissingError
	if !errors.As(err, &missing) || !errors.Is(err, job.ErrPartial) || missing.Missing != 2 || manifest == nil {
		t.Fatalf("%v", err)
	}
	f := manifest.Filedir
	if f.Missing != 2 || f.Rescued != 1 || f.Corrupt != 1 {
		t.Errorf("%+v", f)
	}
	var listed []string
	for _, b := range listOf(t, o, manifest.ID) {
		listed = append(listed, b.sum.String())
	}
	for hash, want := range map[string]bool{trashed: true, lost: false, damaged: false, deleted: true, foreign.String(): true} {
		if slices.Contains(listed, hash) != want {
			t.Errorf("%s listed: %v, want %v", hash, !want, want)
		}
	}
	checkWhole(t, o, manifest.ID)
	if !slices.IsSorted(listed) {
		t.Error("the list is not sorted")
	}

	// An alias may lack its content; an accepted loss is no news; a mended file heals the backup.
	o.At = nil
	inDatabase(t, site, "UPDATE "+site.Prefix+"files SET referencefileid=1 WHERE contenthash='"+lost+"'")
	must(t, os.WriteFile(filepath.Join(o.Config.Dir, "lms", acceptedName), []byte(`{"missing":1}`), 0o600))
	if manifest, err = Create(t.Context(), o, noRun{}); err != nil || manifest.Filedir.Missing != 1 || manifest.Filedir.Aliases != 1 {
		t.Errorf("%v, %+v", err, manifest.Filedir)
	}
}

// namesOfFiles are content hashes of the site that several tests may damage.
func namesOfFiles(t testing.TB, site *stand.Site) (hashes []string) {
	t.Helper()
	pool, err := sql.Open("mysql", database(t).RootDSN(site.Database))
	must(t, err)
	defer pool.Close()
	rows, err := pool.Query("SELECT DISTINCT contenthash FROM " + site.Prefix + "files WHERE filesize > 0 ORDER BY 1")
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var hash string
		must(t, rows.Scan(&hash))
		hashes = append(hashes, hash)
	}
	must(t, rows.Err())
	return hashes
}
