package restore_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/backup/restore"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// disasters are what an administrator wakes up to.
var disasters = []struct {
	name string
	do   func(r *rig)
}{
	{"nothing is broken", func(*rig) {}},
	{"a table", func(r *rig) { r.sql("DROP TABLE `" + r.site.Database + "`.`" + r.site.Prefix + "user`") }},
	{"rows", func(r *rig) { r.sql("DELETE FROM `" + r.site.Database + "`.`" + r.site.Prefix + "course`") }},
	{"the database", func(r *rig) { r.sql("DROP DATABASE `" + r.site.Database + "`") }},
	{"the account", func(r *rig) {
		r.sql("DROP USER `"+r.site.User+"`@`127.0.0.1`", "DROP USER `"+r.site.User+"`@localhost")
	}},
	{"filedir", func(r *rig) { r.must(os.RemoveAll(filepath.Join(r.site.Dataroot, "filedir"))) }},
	{"all of moodledata", func(r *rig) { r.must(os.RemoveAll(r.site.Dataroot)) }},
	{"the code", func(r *rig) { r.must(os.RemoveAll(r.site.CodeDir)) }},
	{"config.php", func(r *rig) { r.must(os.Remove(filepath.Join(r.site.CodeDir, "config.php"))) }},
	{"configuration", func(r *rig) { r.must(os.RemoveAll(filepath.Join(r.etc, "nginx"))) }},
	{"everything", func(r *rig) {
		r.sql("DROP DATABASE `"+r.site.Database+"`", "DROP USER `"+r.site.User+"`@`127.0.0.1`", "DROP USER `"+r.site.User+"`@localhost")
		for _, dir := range []string{r.site.Dataroot, r.site.CodeDir, filepath.Join(r.etc, "nginx")} {
			r.must(os.RemoveAll(dir))
		}
	}},
}

func (r *rig) sql(statements ...string) {
	r.t.Helper()
	r.must(r.db.Exec(r.t.Context(), statements...))
}

// TestRestoreAfter destroys a site in each way, and wants it back as it was.
func TestRestoreAfter(t *testing.T) {
	r := newRig(t, stand.SiteOptions{})
	manifest := r.backUp()
	for _, disaster := range disasters {
		t.Run(disaster.name, func(t *testing.T) {
			r.t = t
			r.log.Reset()
			before := r.state()
			disaster.do(r)
			result, err := r.restore(r.options(manifest))
			r.must(err)
			r.same(before, r.state())
			if content, err := os.ReadFile(filepath.Join(r.etc, "nginx/site.conf")); err != nil || string(content) != "server {}\n" {
				t.Errorf("configuration of the host: %q, %v", content, err)
			}
			if len(result.NotMade) > 0 {
				t.Errorf("checks that were not made: %v", result.NotMade)
			}
			r.must(restore.Discard(t.Context(), r.options(manifest), result.Journal, &stand.QuietRun{}))
			r.nothingLeft()
		})
	}
}

func (r *rig) same(before, after state) {
	r.t.Helper()
	for _, part := range []struct{ what, before, after string }{
		{"rows", before.Rows, after.Rows}, {"code", before.Code, after.Code}, {"data", before.Data, after.Data},
	} {
		if part.before != part.after {
			r.t.Errorf("%s:\n%s", part.what, stand.Diff(part.before, part.after))
		}
	}
	if before.Page != after.Page {
		r.t.Errorf("the login page answers %d, and did %d", after.Page, before.Page)
	}
}

// TestFailureAtEveryStepPutsTheOldSiteBack lets each step fail in turn.
func TestFailureAtEveryStepPutsTheOldSiteBack(t *testing.T) {
	r := newRig(t, stand.SiteOptions{})
	manifest := r.backUp()
	// The live site has moved on since: nothing of that may be lost.
	r.sql("INSERT INTO `" + r.site.Database + "`.`" + r.site.Prefix + "course` (category, fullname, shortname) VALUES (1, 'new', 'new')")
	r.write(filepath.Join(r.site.Dataroot, "lang/new.txt"), "new")
	r.write(filepath.Join(r.site.CodeDir, "new.php"), "<?php\n")
	before := r.state()
	broken := errors.New("broken on purpose")
	steps := []string{"stage database", "close", "data move", "check", "visit"} // kills are tried at every step
	if os.Getenv("PROOF") == "full" {
		steps = append(steps, "preflight", "stage code", "stage files", "content files", "try", "tables exchanged", "code move", "switch", "settle", "open")
	}
	for _, step := range steps {
		t.Run(step, func(t *testing.T) {
			r.t = t
			r.log.Reset()
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			met := false
			o := r.options(manifest)
			o.At = func(at string) {
				if at == step && !met {
					met = true
					cancel(broken)
				}
			}
			_, err := restore.Restore(ctx, o, &stand.QuietRun{Name: "20260101T000000Z"})
			if err == nil || !met {
				t.Fatalf("met %v, error %v", met, err)
			}
			r.same(before, r.state())
			r.nothingLeft()
		})
	}
}

// TestKilledRestoreIsEnded stops at every point as a kill does, with no undo, and lets the next run end it.
func TestKilledRestoreIsEnded(t *testing.T) {
	r := newRig(t, stand.SiteOptions{})
	manifest := r.backUp()
	restored := r.state()
	r.sql("UPDATE `" + r.site.Database + "`.`" + r.site.Prefix + "course` SET fullname = 'changed since'")
	r.write(filepath.Join(r.site.CodeDir, "new.php"), "<?php\n")
	before := r.state()
	for _, step := range []string{"preflight", "stage code", "stage files", "content files", "stage database", "try", "close", "tables exchanged", "data move",
		"code move", "switch", "settle", "check", "open", "visit", "keep"} {
		t.Run(step, func(t *testing.T) {
			r.t = t
			r.log.Reset()
			o := r.options(manifest)
			o.At = func(at string) {
				if at == step {
					panic(killed{})
				}
			}
			func() {
				defer func() {
					if _, ok := recover().(killed); !ok {
						t.Error("the step was not met")
					}
				}()
				_, err := r.restore(o)
				t.Errorf("came to its end: %v", err)
			}()
			journals, err := restore.Journals(r.stateDir(), "lms")
			r.must(err)
			if len(journals) != 1 {
				t.Fatalf("%d journals", len(journals))
			}
			finished := journals[0].Phase == restore.Open
			if !finished {
				finished, err = restore.Recover(t.Context(), r.options(manifest), journals[0], &stand.QuietRun{})
				r.must(err)
			}
			if finished {
				r.same(restored, r.state())
				// Back to the site of before, for the next step.
				r.sql("UPDATE `" + r.site.Database + "`.`" + r.site.Prefix + "course` SET fullname = 'changed since'")
				r.write(filepath.Join(r.site.CodeDir, "new.php"), "<?php\n")
				r.must(restore.Discard(t.Context(), r.options(manifest), journals[0], &stand.QuietRun{}))
				before = r.state()
			} else {
				r.same(before, r.state())
			}
			r.nothingLeft()
		})
	}
}

type killed struct{}

// TestOnly restores single components, and leaves the others as they are.
func TestOnly(t *testing.T) {
	r := newRig(t, stand.SiteOptions{})
	manifest := r.backUp()
	old := r.state()
	r.sql("UPDATE `" + r.site.Database + "`.`" + r.site.Prefix + "course` SET fullname = 'changed since'")
	r.write(filepath.Join(r.site.Dataroot, "lang/new.txt"), "new")
	r.write(filepath.Join(r.site.CodeDir, "new.php"), "<?php\n")
	r.write(filepath.Join(r.etc, "nginx/site.conf"), "changed\n")
	now := r.state()
	for _, test := range []struct {
		component string
		want      state
		config    string
	}{
		{backup.Database, state{Rows: old.Rows, Code: now.Code, Data: now.Data}, "changed\n"},
		{backup.Files, state{Rows: old.Rows, Code: now.Code, Data: old.Data}, "changed\n"},
		{backup.Code, state{Rows: old.Rows, Code: old.Code, Data: old.Data}, "changed\n"},
		{backup.Config, state{Rows: old.Rows, Code: old.Code, Data: old.Data}, "server {}\n"},
	} {
		t.Run(test.component, func(t *testing.T) {
			r.t = t
			o := r.options(manifest)
			o.Components = []string{test.component}
			result, err := r.restore(o)
			r.must(err)
			test.want.Page = http.StatusOK
			r.same(test.want, r.state())
			if content, err := os.ReadFile(filepath.Join(r.etc, "nginx/site.conf")); err != nil || string(content) != test.config {
				t.Errorf("configuration of the host: %q, %v", content, err)
			}
			r.must(restore.Discard(t.Context(), r.options(manifest), result.Journal, &stand.QuietRun{}))
			r.nothingLeft()
		})
	}
}

// TestUpgradePending brings back a site whose code is newer than its database, as it was when it was backed up.
func TestUpgradePending(t *testing.T) {
	r := newRig(t, stand.SiteOptions{})
	version := filepath.Join(r.site.DocRoot, "version.php")
	text, err := os.ReadFile(version)
	r.must(err)
	newer := regexp.MustCompile(`\$version\s*=\s*\d+`).ReplaceAll(text, []byte("$$version = 2099010100"))
	r.must(os.WriteFile(version, newer, 0o644))
	manifest := r.backUp()
	before := r.state()
	disasters[0].do(r)
	result, err := r.restore(r.options(manifest))
	r.must(err)
	r.same(before, r.state())
	if notes := strings.Join(result.Notes, "\n"); !strings.Contains(notes, "asks for an upgrade") {
		t.Errorf("notes: %s", notes)
	}
}
