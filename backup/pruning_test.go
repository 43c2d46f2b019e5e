package backup

import (
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// TestVerifyKilled: whenever a verification dies nothing is lost, the next one tells the rest, and the next
// backup heals.
func TestVerifyKilled(t *testing.T) {
	t.Parallel()
	_, o := newSite(t, stand.SiteOptions{})
	settle(&o)
	dir := SiteDir(o.Config.Dir, "lms")
	v := verifyOptions(t, o)
	blob := freshBlob(t, o, "verify and die")
	manifest := create(t, o)
	for i, step := range []string{"manifests", "files", "quarantined", "pool read", "pool", "record"} {
		must(t, os.WriteFile(filepath.Join(dir, poolName, blob.path()), []byte("flipped"), 0o600))
		runChild(t, child{Site: *o.Site, Config: o.Config, Step: step, Verify: true})
		kept, _ := filepath.Glob(filepath.Join(dir, quarantine, blob.String()+"-*"))
		_, err := os.Stat(filepath.Join(dir, poolName, blob.path()))
		if (err == nil) == (len(kept) == 1) {
			t.Errorf("killed after %s: in quarantine %v, in the pool %v", step, kept, err)
		}
		if found, _ := verify(t, v); len(found) != 1 || !strings.HasPrefix(found[0], path.Join(poolName, blob.path())) {
			t.Errorf("killed after %s: found %v", step, found)
		}
		blob = freshBlob(t, o, fmt.Sprint("verify and die ", i))
		create(t, o)
		intact(t, v)
		checkWhole(t, o, manifest.ID)
	}
	runChild(t, child{Site: *o.Site, Config: o.Config, Bytes: 100_000, Verify: true})
	intact(t, v)
}

// TestPruneAndItsRehearsal: a dry run says what the run then does, and neither does anything while a backup
// cannot be read. The newest verified backup stays whatever its age.
func TestPruneAndItsRehearsal(t *testing.T) {
	t.Parallel()
	_, o := newSite(t, stand.SiteOptions{})
	later := time.Duration(0)
	now := o.Clock
	o.Clock = func() time.Time { return now().Add(later) }
	dir := SiteDir(o.Config.Dir, "lms")
	var made []*Manifest
	for i := range 4 {
		old := freshBlob(t, o, fmt.Sprint("only in number ", i))
		made = append(made, create(t, o))
		must(t, os.Remove(filepath.Join(filedir(o.Site), old.path())))
		if i == 1 {
			intact(t, verifyOptions(t, o))
		}
		later += 48 * time.Hour
	}
	p := PruneOptions{Dir: o.Config.Dir, Site: "lms", Keep: config.Keep{Last: 1}, Clock: o.Clock, DryRun: true}
	manifest := filepath.Join(dir, made[0].ID, manifestName)
	whole := read(t, manifest)
	must(t, os.WriteFile(manifest, []byte(strings.Replace(whole, "files", "filez", 1)), 0o600))
	before := describeTree(t, dir, nil)
	for _, p.DryRun = range []bool{true, false} {
		_, err := Prune(t.Context(), p, noRun{})
		var refused *RefusedError
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), made[0].ID) {
			t.Errorf("dry run: %v: not refused: %v", p.DryRun, err)
		}
	}
	if !slices.Equal(before, describeTree(t, dir, nil)) {
		t.Error("a refused prune has changed something")
	}
	must(t, os.WriteFile(manifest, []byte(whole), 0o600))
	p.DryRun = true
	before = describeTree(t, dir, nil)
	plan, err := Prune(t.Context(), p, noRun{})
	must(t, err)
	if !slices.Equal(before, describeTree(t, dir, nil)) {
		t.Error("a dry run has changed something")
	}
	p.DryRun = false
	done, err := Prune(t.Context(), p, noRun{})
	must(t, err)
	if fmt.Sprint(plan) != fmt.Sprint(done) || done.Blobs != 2 || done.Bytes != 2*int64(len("only in number 0")) {
		t.Errorf("planned %+v, did %+v", plan, done)
	}
	if got, want := ids(t, o), []string{made[1].ID, made[3].ID}; !slices.Equal(got, want) {
		t.Errorf("there are %v, want %v: %+v", got, want, done.Decisions)
	}
	if reasons := strings.Join(done.Decisions[1].Reasons, "; "); reasons != "the newest verified backup" {
		t.Errorf("the verified one stays because: %s", reasons)
	}
	again, err := Prune(t.Context(), p, noRun{})
	if must(t, err); again.Blobs != 0 || len(again.Decisions) != 2 {
		t.Errorf("%+v", again)
	}
	intact(t, verifyOptions(t, o))
	nothingLeftOver(t, o)
}

// TestAcceptMissing: what is accepted ends well, one more does not.
func TestAcceptMissing(t *testing.T) {
	t.Parallel()
	site, o := newSite(t, stand.SiteOptions{})
	if _, err := FindMissing(t.Context(), o.Config.Dir, "lms"); !errors.Is(err, ErrNoSuchBackup) {
		t.Error(err)
	}
	lose := func(hash string) {
		must(t, os.Remove(filepath.Join(site.Dataroot, "filedir", hash[:2], hash[2:4], hash)))
		// The pool would still have it, of an earlier backup.
		_ = os.Remove(filepath.Join(SiteDir(o.Config.Dir, "lms"), poolName, hash[:2], hash[2:4], hash))
	}
	hashes := namesOfFiles(t, site)
	lose(hashes[0])
	before := create(t, o)
	a, err := FindMissing(t.Context(), o.Config.Dir, "lms")
	if must(t, err); a != (Acceptance{before.ID, 1, 0}) {
		t.Errorf("%+v", a)
	}
	must(t, AcceptMissing(t.Context(), o.Config.Dir, "lms", a, time.Now()))
	if m, err := Create(t.Context(), o, noRun{}); err != nil || m.Filedir.Accepted != 1 || m.Filedir.Missing != 1 {
		t.Errorf("%v", err)
	}
	lose(hashes[1])
	var missing *MissingError
	if _, err := Create(t.Context(), o, noRun{}); !errors.As(err, &missing) || missing.Missing != 2 || missing.Accepted != 1 {
		t.Errorf("%v", err)
	}
}
