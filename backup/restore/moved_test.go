package restore_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/backup/restore"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// value is one value of the live database; empty for none.
func (r *rig) value(query string) string {
	r.t.Helper()
	db, err := sql.Open("mysql", r.db.RootDSN(r.site.Database))
	r.must(err)
	defer db.Close()
	var found sql.NullString
	if err := db.QueryRowContext(r.t.Context(), query).Scan(&found); !errors.Is(err, sql.ErrNoRows) {
		r.must(err)
	}
	return found.String
}

// TestAnotherAddress brings a site back under another one: config.php and content have it, and no mail goes out.
func TestAnotherAddress(t *testing.T) {
	r := newRig(t, stand.SiteOptions{})
	course := "`" + r.site.Prefix + "course`"
	r.sql("UPDATE `" + r.site.Database + "`." + course + " SET summary = 'see " + r.site.WWWRoot + "/mod/page/view.php'")
	manifest := r.backUp()
	fresh := strings.Replace(r.site.WWWRoot, "localhost", "127.0.0.1", 1)
	for _, mail := range []bool{false, true} {
		o := r.options(manifest)
		o.WWWRoot, o.AllowMail = fresh, mail
		result, err := r.restore(o)
		r.must(err)
		if got := r.value("SELECT summary FROM " + course + " LIMIT 1"); got != "see "+fresh+"/mod/page/view.php" {
			t.Errorf("content: %q", got)
		}
		content, err := os.ReadFile(filepath.Join(r.site.CodeDir, "config.php"))
		if err != nil || !strings.Contains(string(content), fresh) || strings.Contains(string(content), r.site.WWWRoot) {
			t.Errorf("config.php: %v\n%s", err, content)
		}
		want := "1"
		if mail {
			want = ""
		}
		if got := r.value("SELECT value FROM " + r.site.Prefix + "config WHERE name = 'noemailever'"); got != want {
			t.Errorf("with mail allowed %v, noemailever is %q", mail, got)
		}
		r.must(restore.Discard(t.Context(), o, result.Journal, &stand.QuietRun{}))
	}

	// The live site has the other address by now: it keeps it without being told to, and that of the backup is replaced.
	t.Run("of the live site", func(t *testing.T) {
		r.t = t
		result, err := r.restore(r.options(manifest))
		r.must(err)
		if got := r.value("SELECT summary FROM " + course + " LIMIT 1"); got != "see "+fresh+"/mod/page/view.php" {
			t.Errorf("content: %q", got)
		}
		if got := r.value("SELECT value FROM " + r.site.Prefix + "config WHERE name = 'noemailever'"); got != "1" {
			t.Errorf("noemailever is %q", got)
		}
		r.must(restore.Discard(t.Context(), r.options(manifest), result.Journal, &stand.QuietRun{}))
		r.nothingLeft()
	})
	for name, change := range map[string]func(*restore.Options){
		"database alone": func(o *restore.Options) { o.Components = []string{backup.Database} },
		"code alone":     func(o *restore.Options) { o.Components, o.WWWRoot = []string{backup.Code}, "https://third.example.org" },
	} {
		t.Run(name, func(t *testing.T) {
			r.t = t
			o := r.options(manifest)
			change(&o)
			r.refused(t, o, "together")
		})
	}
}

// refused wants a plan that says what stands in the way.
func (r *rig) refused(t *testing.T, o restore.Options, words string) {
	t.Helper()
	plan, err := restore.MakePlan(t.Context(), o)
	r.must(err)
	var refusal *backup.RefusedError
	if err := plan.Refusal(); !errors.As(err, &refusal) || !strings.Contains(err.Error(), words) {
		t.Errorf("%v, want %q", err, words)
	}
}

// TestPlanRefuses says beforehand what would come out only after hours, or destroy something.
func TestPlanRefuses(t *testing.T) {
	r := newRig(t, stand.SiteOptions{})
	manifest := r.backUp()
	other := *manifest
	other.Moodle.Version = "2023100900.00"
	for _, c := range []struct {
		name   string
		change func(*restore.Options)
		words  string
	}{
		{"a database of another version", func(o *restore.Options) { o.Reader.Manifest, o.Components = &other, []string{backup.Database} }, "different versions"},
		{"code of another version", func(o *restore.Options) { o.Reader.Manifest, o.Components = &other, []string{backup.Code} }, "different versions"},
		{"a database without a site", func(o *restore.Options) { o.Live, o.Components = nil, []string{backup.Database} }, "no site"},
		{"backups in the dataroot", func(o *restore.Options) { o.BackupDir = filepath.Join(r.site.Dataroot, "backups") }, "the backups"},
		{"no such user", func(o *restore.Options) { o.Live.User = "nobody-knows" }, "nobody-knows"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.t = t
			o := r.options(manifest)
			c.change(&o)
			r.refused(t, o, c.words)
		})
	}
}

// TestModes brings owners and modes back as they were, but for what everybody could write to.
func TestModes(t *testing.T) {
	r := newRig(t, stand.SiteOptions{})
	open, key := filepath.Join(r.site.Dataroot, "repository"), filepath.Join(r.site.Dataroot, "secret/key/sodium.key")
	r.must(os.Mkdir(open, 0o777))
	r.must(os.Chmod(open, 0o777)) // root's
	r.write(filepath.Join(open, "x"), "x")
	r.must(os.Chmod(filepath.Join(open, "x"), 0o666))
	r.write(filepath.Join(r.site.CodeDir, "open.php"), "<?php\n")
	r.must(os.Chmod(filepath.Join(r.site.CodeDir, "open.php"), 0o777))
	manifest := r.backUp()
	r.must(os.RemoveAll(r.site.Dataroot))
	result, err := r.restore(r.options(manifest))
	r.must(err)
	web := r.site.Web
	for path, want := range map[string]struct {
		mode os.FileMode
		uid  int
	}{
		open: {0o775, web.UID}, filepath.Join(open, "x"): {0o664, web.UID}, key: {0o400, web.UID},
		filepath.Join(r.site.CodeDir, "open.php"): {0o775, 0},
	} {
		info, err := os.Stat(path)
		r.must(err)
		if owner := stand.Owner(info); info.Mode().Perm() != want.mode || owner.UID != want.uid {
			t.Errorf("%s is %v of %d, want %v of %d", path, info.Mode(), owner.UID, want.mode, want.uid)
		}
	}
	r.must(restore.Discard(t.Context(), r.options(manifest), result.Journal, &stand.QuietRun{}))
}

// TestSeveralAreKept restores again and again before anything is let go.
func TestSeveralAreKept(t *testing.T) {
	r := newRig(t, stand.SiteOptions{})
	manifest := r.backUp()
	before := r.state()
	const times = 3
	for i := range times {
		r.must(os.MkdirAll(r.stateDir(), 0o750))
		id := time.Date(2026, 1, 1, 0, 0, i, 0, time.UTC).Format("20060102T150405Z")
		_, err := restore.Restore(t.Context(), r.options(manifest), &stand.QuietRun{Name: id})
		r.must(err)
		r.same(before, r.state())
	}
	plan, err := restore.MakePlan(t.Context(), r.options(manifest))
	r.must(err)
	if !strings.Contains(strings.Join(plan.Notes, "\n"), "3 earlier restores") {
		t.Errorf("notes: %q", plan.Notes)
	}
	journals, err := restore.Journals(r.stateDir(), "lms")
	r.must(err)
	if len(journals) != times {
		t.Errorf("%d are kept", len(journals))
	}
	for _, journal := range journals {
		r.must(restore.Discard(t.Context(), r.options(manifest), journal, &stand.QuietRun{}))
	}
	r.nothingLeft()
	r.same(before, r.state())
}
