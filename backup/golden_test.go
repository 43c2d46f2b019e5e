package backup

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

const (
	goldenDir = "testdata/format1"
	// goldenVariable has TestWriteGolden make the golden backups anew, in that directory.
	goldenVariable = "MOODLE_EXPORTER_WRITE_GOLDEN"
	goldenFirst    = "20260301T030000Z"
	goldenSecond   = "20260308T030000Z"
)

// TestGoldenFormat1: backups of format 1 that were made once can be listed, verified and read for ever.
func TestGoldenFormat1(t *testing.T) {
	o := Options{Site: &moodle.Site{Name: "lms"}, Config: config.Backup{Dir: t.TempDir()}}
	must(t, os.CopyFS(SiteDir(o.Config.Dir, "lms"), os.DirFS(filepath.Join(goldenDir, "lms"))))
	if there := ids(t, o); !slices.Equal(there, []string{goldenFirst, goldenSecond}) {
		t.Fatalf("listed: %v", there)
	}
	latest, err := Show(t.Context(), o.Config.Dir, "lms", Latest)
	must(t, err)
	m := latest.Manifest
	if m.ID != goldenSecond || !m.Complete() || m.Digest == "" || m.Site != "lms" || m.Host != "host.example" || m.Moodle.WWWRoot != "https://lms.example.org" ||
		m.Database.Views != 1 || m.Database.Triggers != 1 || m.Database.Routines != 1 || m.Database.Events != 1 || m.Filedir.Missing != 1 || m.Filedir.NewBlobs != 1 {
		t.Errorf("%+v %+v %+v", m, m.Database, m.Filedir)
	}
	if code, _ := m.File("code.tar.zst"); code.SameAs != goldenFirst {
		t.Errorf("the code is that of %q", code.SameAs)
	}
	v := VerifyOptions{Dir: o.Config.Dir, Site: "lms", ReadData: true}
	if report, err := Verify(t.Context(), v, noRun{}); err != nil || report.Backups != 2 || report.Blobs != m.Filedir.Blobs {
		t.Errorf("%+v, %v", report, err)
	}
	for _, id := range []string{goldenFirst, goldenSecond} {
		checkWhole(t, o, id)
		checkGolden(t, o, id)
	}
}

// checkGolden reads what a restore needs out of each file.
func checkGolden(t *testing.T, o Options, id string) {
	t.Helper()
	strict := json.NewDecoder(strings.NewReader(read(t, filepath.Join(SiteDir(o.Config.Dir, "lms"), id, manifestName))))
	strict.DisallowUnknownFields()
	var m Manifest
	if err := strict.Decode(&m); err != nil {
		t.Errorf("a field of format 1 is no longer known: %v", err)
	}
	for archive, name := range map[string]string{
		"code.tar.zst": "version.php", "dataroot.tar.zst": "muc/config.php", "config.tar.zst": "database-account.sql", "logs.tar.zst": "access.log", "system.tar.zst": "key.pem",
	} {
		if names := contentOf(t, o, id, archive); !slices.ContainsFunc(names, func(is string) bool { return strings.HasSuffix(is, name) }) {
			t.Errorf("%s of %s holds no %s: %v", archive, id, name, names)
		}
	}
	decoder, err := zstd.NewReader(strings.NewReader(read(t, filepath.Join(SiteDir(o.Config.Dir, "lms"), id, databaseName))))
	must(t, err)
	defer decoder.Close()
	named := 0
	scan := newDumpScan(m.Database.Prefix+"files", func(_, _ []byte, _ bool) error { named++; return nil })
	_, err = decoder.WriteTo(scan)
	must(t, err)
	if !scan.completed || named == 0 || scan.views != m.Database.Views || scan.rows[m.Database.Prefix+"user"] != m.Database.Rows[m.Database.Prefix+"user"] {
		t.Errorf("the dump of %s: %d files, %+v", id, named, scan)
	}
}

// TestWriteGolden makes the golden backups anew if it is told to. A change of the format makes new ones
// beside the old ones, which stay.
func TestWriteGolden(t *testing.T) {
	dir := os.Getenv(goldenVariable)
	if dir == "" {
		return
	}
	base := "/srv/moodle-golden" // stands in the backups
	must(t, os.Mkdir(base, 0o755))
	t.Cleanup(func() { _ = os.RemoveAll(base) })
	site, _ := newSite(t, stand.SiteOptions{Name: "lms", CodeDir: base + "/moodle", Dataroot: base + "/moodledata", WWWRoot: "https://lms.example.org"})
	o := optionsFor(t, database(t), site, base+"/backup")
	for _, place := range []string{base + "/moodledata/filedir", base + "/moodle"} {
		must(t, filepath.WalkDir(place, func(path string, entry os.DirEntry, err error) error {
			if info, _ := entry.Info(); err == nil && entry.Type().IsRegular() && info.Size() > 16<<10 {
				inDatabase(t, site, "DELETE FROM "+site.Prefix+"files WHERE contenthash='"+entry.Name()+"'")
				err = os.Remove(path)
			}
			return err
		}))
	}
	lost := namesOfFiles(t, site)[0]
	must(t, os.Remove(filepath.Join(base, "moodledata/filedir", lost[:2], lost[2:4], lost)))
	must(t, os.MkdirAll(base+"/moodledata/muc", 0o770))
	must(t, os.WriteFile(base+"/moodledata/muc/config.php", []byte("<?php // caches\n"), 0o660))
	inDatabase(t, site, "CREATE VIEW v AS SELECT 1", "CREATE PROCEDURE p() SELECT 1", "CREATE EVENT e ON SCHEDULE EVERY 1 YEAR DO SELECT 1",
		"CREATE TRIGGER tr BEFORE INSERT ON "+quoteName(site.Prefix+"course")+" FOR EACH ROW SET NEW.idnumber = ''")
	now := time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)
	o.Clock = func() time.Time { return now }
	o.Version = "golden"
	must(t, os.MkdirAll(SiteDir(o.Config.Dir, "lms"), 0o700))
	must(t, AcceptMissing(t.Context(), o.Config.Dir, "lms", Acceptance{Missing: 1}, now))
	create(t, o)
	freshBlob(t, o, "came in the second week")
	now = now.Add(7 * 24 * time.Hour)
	create(t, o)
	must(t, os.RemoveAll(filepath.Join(dir, "lms")))
	must(t, os.CopyFS(filepath.Join(dir, "lms"), os.DirFS(SiteDir(o.Config.Dir, "lms"))))
	if text, err := os.ReadFile(filepath.Join(dir, "lms", goldenFirst, manifestName)); err != nil || bytes.Contains(text, []byte("/tmp/")) {
		t.Errorf("%v: it names places of this machine:\n%s", err, text)
	}
}
