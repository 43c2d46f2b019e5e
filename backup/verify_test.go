package backup

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

func verifyOptions(t testing.TB, o Options) VerifyOptions {
	return VerifyOptions{Dir: o.Config.Dir, Site: o.Site.Name, ReadData: true, Clock: o.Clock, Logger: o.Logger}
}

// verify returns what was found, by name.
func verify(t testing.TB, o VerifyOptions) (found []string, report *Report) {
	t.Helper()
	report, err := Verify(t.Context(), o, noRun{})
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

func intact(t testing.TB, o VerifyOptions) *Report {
	t.Helper()
	found, report := verify(t, o)
	if len(found) > 0 {
		t.Errorf("found %v", found)
	}
	return report
}

// damages are what can happen to a file. The kind is what it is called, "" for that of a flip.
var damages = []struct {
	name, kind string
	do         func([]byte) []byte // nil: deleted
}{
	{"first byte flipped", "flipped", func(b []byte) []byte { b[0] ^= 1; return b }},
	{"middle byte flipped", "flipped", func(b []byte) []byte { b[len(b)/2] ^= 0x80; return b }},
	{"last byte flipped", "flipped", func(b []byte) []byte { b[len(b)-1] ^= 0xff; return b }},
	{"a page of zeros", "flipped", func(b []byte) []byte {
		return append(bytes.Repeat([]byte{0}, min(4096, len(b))), b[min(4096, len(b)):]...)
	}},
	{"cut by a byte", "truncated", func(b []byte) []byte { return b[:len(b)-1] }},
	{"cut in the middle", "truncated", func(b []byte) []byte { return b[:len(b)/2] }},
	{"emptied", "truncated", func([]byte) []byte { return []byte{} }},
	{"a byte more", "extended", func(b []byte) []byte { return append(b, 0) }},
	{"a copy of itself behind it", "extended", func(b []byte) []byte { return append(b, b...) }},
	{"deleted", "missing", nil},
}

// TestVerifyNamesEveryDamage damages one file at a time in every way: it is named, and nothing else is.
func TestVerifyNamesEveryDamage(t *testing.T) {
	t.Parallel()
	_, o := newSite(t, stand.SiteOptions{})
	settle(&o)
	o.Logger = nil
	victim := freshBlob(t, o, "the content of the victim")
	first := create(t, o)
	must(t, os.WriteFile(filepath.Join(o.Site.Dir, "new.php"), []byte("<?php"), 0o644))
	second := create(t, o)
	dir := SiteDir(o.Config.Dir, "lms")
	v := verifyOptions(t, o)
	intact(t, v)
	names := []string{path.Join(first.ID, manifestName), path.Join(poolName, victim.path())}
	for _, f := range first.Files {
		names = append(names, path.Join(first.ID, f.Name))
	}
	for _, name := range names {
		was := []byte(read(t, filepath.Join(dir, name)))
		for _, damage := range damages {
			kind, want := damage.kind, []string{name}
			if path.Base(name) == manifestName && kind != "missing" {
				kind = "unreadable"
			}
			// What was not deleted but changed is changed under both its names.
			if f, named := second.File(path.Base(name)); named && f.SameAs == first.ID && damage.do != nil {
				want = append(want, path.Join(second.ID, f.Name))
			}
			if damage.do == nil {
				must(t, os.Remove(filepath.Join(dir, name)))
			} else {
				must(t, os.WriteFile(filepath.Join(dir, name), damage.do(bytes.Clone(was)), 0o600))
			}
			for i := range want {
				want[i] += " " + kind
			}
			found, report := verify(t, v)
			if slices.Sort(want); !slices.Equal(found, want) {
				t.Errorf("%s, %s: found %v, want %v", name, damage.name, found, want)
			}
			if strings.HasPrefix(name, poolName) {
				if hurts := report.Findings[0].Hurts; !slices.Equal(hurts, []string{first.ID, second.ID}) {
					t.Errorf("%s, %s: hurts %v", name, damage.name, hurts)
				}
				if moved := report.Findings[0].Moved; damage.do != nil {
					if _, err := os.Stat(filepath.Join(dir, moved)); err != nil || moved == "" {
						t.Errorf("%s, %s: not kept in quarantine: %v", name, damage.name, err)
					}
				}
			}
			must(t, os.WriteFile(filepath.Join(dir, name), was, 0o600))
		}
	}
	swapped(t, v, path.Join(first.ID, "code.tar.zst"), path.Join(second.ID, "code.tar.zst"))
	swapped(t, v, path.Join(first.ID, manifestName), path.Join(second.ID, manifestName))
	swapped(t, v, path.Join(first.ID, restoreName), path.Join(second.ID, restoreName))
	intact(t, v)
	for _, name := range []string{"x", "pool/x", "pool/filedir/x", "pool/filedir/00/x.tmp", first.ID + "/x", "quarantined.zip"} {
		place := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(place), 0o700))
		must(t, os.WriteFile(place, []byte("x"), 0o600))
		if found, _ := verify(t, v); !slices.Equal(found, []string{name + " foreign"}) {
			t.Errorf("foreign %s: found %v", name, found)
		}
		must(t, os.Remove(place))
	}
	intact(t, v)
}

// swapped exchanges two files of which both must be named.
func swapped(t *testing.T, v VerifyOptions, a, b string) {
	t.Helper()
	dir := SiteDir(v.Dir, v.Site)
	exchange := func() {
		x, y, z := filepath.Join(dir, a), filepath.Join(dir, b), filepath.Join(v.Dir, "aside")
		must(t, errors.Join(os.Rename(x, z), os.Rename(y, x), os.Rename(z, y)))
	}
	exchange()
	found, _ := verify(t, v)
	if len(found) != 2 || !strings.HasPrefix(found[0], a) || !strings.HasPrefix(found[1], b) {
		t.Errorf("%s and %s swapped: found %v", a, b, found)
	}
	exchange()
}

// TestEveryByteOfTheManifestCounts: what it no longer names would be swept away.
func TestEveryByteOfTheManifestCounts(t *testing.T) {
	t.Parallel()
	_, o := newSite(t, stand.SiteOptions{})
	o.Components = []string{Logs}
	manifest := create(t, o)
	whole := read(t, filepath.Join(SiteDir(o.Config.Dir, "lms"), manifest.ID, manifestName))
	if _, err := parseManifest(strings.NewReader(whole)); err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		for _, bit := range []byte{1, 0x20, 0x80} {
			flipped := []byte(whole)
			flipped[i] ^= bit
			if _, err := parseManifest(bytes.NewReader(flipped)); err == nil {
				t.Fatalf("byte %d, bit %x: %q is taken for whole", i, bit, flipped[max(0, i-20):min(len(flipped), i+20)])
			}
		}
		if _, err := parseManifest(strings.NewReader(whole[:i])); err == nil {
			t.Fatalf("cut to %d bytes it is taken for whole", i)
		}
	}
}

// TestNextBackupHeals damages whatever can be, and lets the next backup mend it.
func TestNextBackupHeals(t *testing.T) {
	t.Parallel()
	_, o := newSite(t, stand.SiteOptions{})
	settle(&o)
	dir := SiteDir(o.Config.Dir, "lms")
	var blobs []sum
	for i := range 4 {
		blobs = append(blobs, freshBlob(t, o, fmt.Sprint("content file number ", i)))
	}
	first := create(t, o)
	v := verifyOptions(t, o)
	intact(t, v)
	at := func(i int) string { return filepath.Join(dir, poolName, blobs[i].path()) }
	must(t, os.WriteFile(at(0), []byte("content file numbex 0"), 0o600))
	must(t, os.Truncate(at(1), 3))
	must(t, os.Remove(at(2)))
	must(t, errors.Join(os.Remove(at(3)), os.Mkdir(at(3), 0o700)))
	for _, f := range first.Files {
		content := []byte(read(t, filepath.Join(dir, first.ID, f.Name)))
		content[len(content)/2] ^= 1
		// The list is needed to tell what the pool lacks; it has its turn below.
		if f.Name != listName {
			must(t, os.WriteFile(filepath.Join(dir, first.ID, f.Name), content, 0o600))
		}
	}
	damaged := int64(4 + len(first.Files) - 1)
	found, report := verify(t, v)
	if report.Damaged != damaged {
		t.Errorf("%d of %d are found: %v", report.Damaged, damaged, found)
	}
	state := func(damaged int64, good, verified bool) {
		t.Helper()
		i, err := TakeInventory(t.Context(), v.Dir, v.Site, o.Clock())
		must(t, err)
		if i.Damaged == nil || *i.Damaged != damaged || i.Verify == nil || i.Verify.LastSuccess == 0 || i.Verify.Intact != (damaged == 0) {
			t.Errorf("the inventory: damaged %v, %+v", i.Damaged, i.Verify)
		}
		listed, err := Show(t.Context(), v.Dir, v.Site, first.ID)
		must(t, err)
		if listed.Good() != good || listed.Verified != verified {
			t.Errorf("the first backup is good: %v, verified: %v", listed.Problem, listed.Verified)
		}
	}
	state(damaged, false, false)
	if _, err := Show(t.Context(), v.Dir, v.Site, Latest); !errors.Is(err, ErrNoSuchBackup) {
		t.Errorf("a damaged backup is the latest good one (%v)", err)
	}
	second := create(t, o)
	if listed, err := Show(t.Context(), v.Dir, v.Site, Latest); err != nil || listed.ID != second.ID {
		t.Errorf("%v", err)
	}
	checkWhole(t, o, first.ID)
	checkWhole(t, o, second.ID)
	intact(t, v)
	state(0, true, true)
	kept, err := os.ReadDir(filepath.Join(dir, quarantine))
	if err != nil || len(kept) != 3 {
		t.Errorf("in quarantine: %v, %v", kept, err)
	}

	// A list that is damaged says nothing about the pool, and nothing is taken for damaged because of it.
	must(t, os.WriteFile(filepath.Join(dir, second.ID, listName), compressText(t, ""), 0o600))
	create(t, o)
	found, _ = verify(t, v)
	if slices.ContainsFunc(found, func(name string) bool { return !strings.Contains(name, listName) }) || len(found) == 0 {
		t.Errorf("found %v", found)
	}
	third := create(t, o)
	intact(t, v)
	checkWhole(t, o, third.ID)
}

// TestSharesAddUp: four runs without --read-data read everything once.
func TestSharesAddUp(t *testing.T) {
	t.Parallel()
	_, o := newSite(t, stand.SiteOptions{})
	var blobs []sum
	for i := 0; len(blobs) < Shares; i++ {
		text := fmt.Sprint("content ", i)
		if s := sum(sha1.Sum([]byte(text))); int(s[0]>>6) == len(blobs) {
			blobs = append(blobs, freshBlob(t, o, text))
		}
	}
	manifest := create(t, o)
	v := verifyOptions(t, o)
	v.ReadData = false
	total := int64(0)
	for i := range Shares {
		if listed, err := Show(t.Context(), v.Dir, v.Site, manifest.ID); err != nil || listed.Verified {
			t.Errorf("verified after %d shares (%v)", i, err)
		}
		report := intact(t, v)
		if report.Share != i {
			t.Errorf("share %d, want %d", report.Share, i)
		}
		total += report.ReadFiles - int64(len(manifest.Files))
	}
	if total != manifest.Filedir.Blobs {
		t.Errorf("%d of %d content files were read", total, manifest.Filedir.Blobs)
	}
	if listed, err := Show(t.Context(), v.Dir, v.Site, manifest.ID); err != nil || !listed.Verified {
		t.Errorf("not verified after all shares (%v)", err)
	}
	for i, s := range blobs {
		name := filepath.Join(SiteDir(v.Dir, v.Site), poolName, s.path())
		content := []byte(read(t, name))
		content[0] ^= 1
		must(t, os.WriteFile(name, content, 0o600))
		if found, _ := verify(t, v); len(found) != 1 {
			t.Errorf("in share %d: found %v", i, found)
		}
		content[0] ^= 1
		must(t, os.WriteFile(name, content, 0o600))
	}
	create(t, o)
	intact(t, v)
}

// TestVerifyOne looks at one backup, and leaves what is known of the others.
func TestVerifyOne(t *testing.T) {
	t.Parallel()
	_, o := newSite(t, stand.SiteOptions{})
	settle(&o)
	only := freshBlob(t, o, "only in the first")
	first := create(t, o)
	must(t, os.Remove(filepath.Join(filedir(o.Site), only.path())))
	must(t, os.WriteFile(filepath.Join(o.Site.Dir, "new.php"), []byte("<?php"), 0o644))
	second := create(t, o)
	dir := SiteDir(o.Config.Dir, "lms")
	must(t, os.WriteFile(filepath.Join(dir, poolName, only.path()), []byte("only in the worst"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, first.ID, "code.tar.zst"), make([]byte, mustFile(t, first, "code.tar.zst").Size), 0o600))
	v := verifyOptions(t, o)
	for _, test := range []struct {
		id   string
		want int
	}{{second.ID, 0}, {first.ID, 2}, {second.ID, 0}, {first.ID, 2}, {"", 2}} {
		v.ID = test.id
		if found, _ := verify(t, v); len(found) != test.want {
			t.Errorf("backup %q: found %v, want %d", test.id, found, test.want)
		}
		i, err := TakeInventory(t.Context(), v.Dir, v.Site, o.Clock())
		if must(t, err); len(i.Problems) == 0 && test.want > 0 {
			t.Error("the damage is not known any more")
		}
	}
	if listed, err := Show(t.Context(), v.Dir, v.Site, second.ID); err != nil || !listed.Verified {
		t.Errorf("%+v, %v", listed, err)
	}
	for id, want := range map[string]string{"": "", "all": "", Latest: second.ID, first.ID: first.ID, "20010101T000000Z": "none", "nonsense": "none"} {
		got, err := FindToVerify(t.Context(), v.Dir, v.Site, id)
		if errors.Is(err, ErrNoSuchBackup) {
			got = "none"
		}
		if got != want {
			t.Errorf("%q means %q, want %q (%v)", id, got, want, err)
		}
	}
	if _, err := FindToVerify(t.Context(), v.Dir, "nobody", "all"); !errors.Is(err, ErrNoSuchBackup) {
		t.Error(err)
	}
}

func mustFile(t testing.TB, m *Manifest, name string) File {
	t.Helper()
	f, found := m.File(name)
	if !found {
		t.Fatalf("no %s", name)
	}
	return f
}
