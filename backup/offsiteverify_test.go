package backup

import (
	"bytes"
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

func offsiteOptions(o Options, from *Offsite) OffsiteVerifyOptions {
	return OffsiteVerifyOptions{Dir: o.Config.Dir, Site: o.Site.Name, From: from, ReadData: true, Clock: o.Clock}
}

// verifyCopies returns what was found, by name.
func verifyCopies(t testing.TB, o OffsiteVerifyOptions) (found []string, report *Report) {
	t.Helper()
	report, err := VerifyOffsite(t.Context(), o, noRun{})
	var damage *DamageError
	if err != nil && !errors.As(err, &damage) {
		t.Fatal(err)
	}
	for _, f := range report.Findings {
		kind, _, _ := strings.Cut(f.What, ":")
		found = append(found, f.File+" "+kind)
	}
	if (damage == nil) != (len(found) == 0) {
		t.Errorf("found %v, but the error is %v", found, err)
	}
	slices.Sort(found)
	return found, report
}

func copiesIntact(t testing.TB, o OffsiteVerifyOptions) *Report {
	t.Helper()
	found, report := verifyCopies(t, o)
	if len(found) > 0 {
		t.Errorf("found %v", found)
	}
	return report
}

// TestVerifyNamesEveryDamageOfCopies damages one object at a time in every way: it is named with those that
// it hurts, nothing else is, and the next copy mends it.
func TestVerifyNamesEveryDamageOfCopies(t *testing.T) {
	t.Parallel()
	eachKind(t, func(t *testing.T, sealed bool) {
		_, o := newSite(t, stand.SiteOptions{})
		settle(&o)
		o.Logger = nil
		victim := freshBlob(t, o, "the content of the victim")
		first := create(t, o)
		must(t, os.WriteFile(filepath.Join(o.Site.Dir, "new.php"), []byte("<?php"), 0o644))
		second := create(t, o)
		dir, to := newBucket(t, sealed)
		copyAll(t, copyOptions(o, to))
		v := offsiteOptions(o, to)
		if report := copiesIntact(t, v); report.Backups != 2 || report.Blobs != second.Filedir.Blobs {
			t.Errorf("%+v", report)
		}
		names := []string{path.Join(first.ID, manifestName), path.Join(poolName, victim.path()) + to.suffix}
		if sealed {
			names = append(names, path.Join(first.ID, ciphertextName))
		}
		for _, f := range first.Files {
			names = append(names, objectOf(first, f, to.suffix))
		}
		kinds := map[string]string{} // the last damage of each
		for _, damage := range damages {
			kinds[damage.kind] = damage.name
		}
		for _, name := range names {
			was := []byte(read(t, filepath.Join(dir, name)))
			for _, damage := range damages {
				kind, hurts := damage.kind, []string{first.ID}
				if slices.Contains([]string{manifestName, ciphertextName}, path.Base(name)) && kind != "missing" {
					kind = "unreadable"
				}
				own := strings.TrimSuffix(path.Base(name), sealedSuffix)
				if f, named := second.File(own); named && f.SameAs == first.ID || strings.HasPrefix(name, poolName) {
					hurts = append(hurts, second.ID)
				}
				if damage.do == nil {
					must(t, os.Remove(filepath.Join(dir, name)))
				} else {
					must(t, os.WriteFile(filepath.Join(dir, name), damage.do(bytes.Clone(was)), 0o600))
				}
				found, report := verifyCopies(t, v)
				if want := []string{name + " " + kind}; !slices.Equal(found, want) {
					t.Fatalf("%s, %s: found %v, want %v", name, damage.name, found, want)
				}
				if got := report.Findings[0].Hurts; !slices.Equal(got, hurts) {
					t.Errorf("%s, %s: hurts %v, not %v", name, damage.name, got, hurts)
				}
				// Of each kind one is mended by a copy, which shows when the next damage is the only one.
				if kinds[damage.kind] != damage.name && !proof() {
					must(t, os.WriteFile(filepath.Join(dir, name), was, 0o600))
					continue
				}
				copyAll(t, copyOptions(o, to))
				mended := []byte(read(t, filepath.Join(dir, name))) // encrypted anew, it is another one
				if damage.do != nil && bytes.Equal(mended, damage.do(bytes.Clone(was))) {
					t.Errorf("%s, %s: not mended", name, damage.name)
				}
				was = mended
			}
		}
		copiesIntact(t, v)
	})
}
