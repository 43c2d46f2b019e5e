package update_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/internal/update"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// TestUpdateFromGit brings a checkout to the tip of its branch, and wants everything of the site's own still there. It does
// so in spite of students at a quiz when it is told to, and only then.
func TestUpdateFromGit(t *testing.T) {
	r := newRig(t)
	own := map[string]string{"local/defaults.php": "<?php // ours\n", "robots.txt": "User-agent: *\n", "vendor/a/b.php": "<?php\n", "mod/standin/lang/en/standin.php": "<?php\n"}
	for name, content := range own {
		r.write(filepath.Join(r.site.CodeDir, name), content)
	}
	r.own(r.site.CodeDir)
	configuration, err := os.ReadFile(filepath.Join(r.site.CodeDir, "config.php"))
	r.must(err)
	r.release(newer)
	r.sql("INSERT INTO " + r.table("quiz_attempts") + " (quiz, userid, attempt, uniqueid, layout, state, preview) VALUES (1, 2, 1, 999, '', 'inprogress', 0)")
	var refusal *backup.RefusedError
	if _, err := r.update(r.options()); !errors.As(err, &refusal) || !strings.Contains(err.Error(), "quiz") {
		t.Fatalf("error: %v", err)
	}
	o := r.options()
	o.Insist = true
	result, err := r.update(o)
	r.must(err)
	r.ownersAsBefore()
	after := r.state()
	if after.version != newer.Version && after.version+".00" != newer.Version || after.page != http.StatusOK || after.cron != "1" {
		t.Errorf("version %s, page %d, cron %s", after.version, after.page, after.cron)
	}
	own["config.php"] = string(configuration)
	for name, want := range own {
		if content, err := os.ReadFile(filepath.Join(r.site.CodeDir, name)); err != nil || string(content) != want {
			t.Errorf("%s: %q, %v", name, content, err)
		}
	}
	if status := r.git(r.site.CodeDir, "status", "--porcelain", "--untracked-files=no"); status != "" {
		t.Errorf("git status: %s", status)
	}
	if head, want := r.git(r.site.CodeDir, "rev-parse", "HEAD", branch, "origin/"+branch), r.git(r.origin, "rev-parse", "HEAD"); head != strings.Join([]string{want, want, want}, "\n") {
		t.Errorf("HEAD and branch are %s and should be %s", head, want)
	}
	r.git(r.site.CodeDir, "fsck", "--connectivity-only")
	if len(result.NotMade) > 0 {
		t.Errorf("checks that were not made: %v", result.NotMade)
	}
	r.nothingLeft()
	if listed, err := backup.List(t.Context(), r.backups(), "lms"); err != nil || len(listed) != 2 || !listed[0].Manifest.Complete() {
		t.Errorf("backups: %v, %v", listed, err)
	}

	again, err := r.update(r.options())
	r.must(err)
	if !again.Plan.UpToDate {
		t.Error("the second update found something to do")
	}
	r.nothingLeft()
}

// ownersAsBefore wants all code to be the web user's, as it was, and nobody else's to write.
func (r *rig) ownersAsBefore() {
	r.t.Helper()
	r.must(filepath.WalkDir(r.site.CodeDir, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if owner := stand.Owner(info); owner.UID != r.site.Web.UID || info.Mode().Perm()&0o002 != 0 {
			r.t.Errorf("%s: %v of %d", path, info.Mode(), owner.UID)
		}
		return nil
	}))
}

// TestAllThatStandsInTheWay names every blocker at once, and touches nothing.
func TestAllThatStandsInTheWay(t *testing.T) {
	r := newRig(t)
	r.write(filepath.Join(r.site.CodeDir, "index.php"), "<?php // hacked\nrequire_once(__DIR__ . '/config.php');\n")
	r.write(filepath.Join(r.site.CodeDir, "lib/stale_in_the_standin.php"), "<?php\n")
	r.sql("INSERT INTO " + r.table("quiz_attempts") + " (quiz, userid, attempt, uniqueid, layout, state, preview) VALUES (1, 2, 1, 999, '', 'inprogress', 0)")
	before := r.state()
	blocked := newer
	blocked.PHP, blocked.Maturity, blocked.Without = "99.1", "MATURITY_BETA", []string{"mod_book"}
	r.release(blocked)
	_, err := r.update(r.options())
	var refusal *backup.RefusedError
	if !errors.As(err, &refusal) {
		t.Fatalf("error: %v", err)
	}
	for _, want := range []string{"version 99.1 is required", "maturity beta", "mod_book would be lost", "index.php", "older versions would lie", "1 attempts at a quiz"} {
		if !strings.Contains(refusal.Error(), want) {
			t.Errorf("the refusal does not say %q:\n%v", want, refusal)
		}
	}
	r.same(before, r.state())
	r.nothingLeft()
}

// moments are the points at which an update can end by a kill, one for each state that the next run may find. morePoints
// are those that differ from one of them in what has been done, and not in what is to be done.
var (
	moments    = []string{"stage", "cron", "close", "code move", "upgrade", "open", "cron on", "finish"}
	morePoints = []string{"look", "preflight", "backup", "dump", "switch", "upgrade begins", "purge", "check", "visit"}
)

// tried are those of always, and with PROOF=full the others as well.
func tried(always []string, others ...string) []string {
	if os.Getenv("PROOF") == "full" {
		return append(slices.Clone(always), others...)
	}
	return always
}

type killed struct{}

// updateKilled is an update of a program that is killed at a step.
func (r *rig) updateKilled(step string) {
	r.t.Helper()
	defer func() {
		if _, ok := recover().(killed); !ok {
			r.t.Errorf("the step %q was not met", step)
		}
	}()
	o := r.options()
	o.At = func(at string) {
		if at == step {
			panic(killed{})
		}
	}
	_, err := r.update(o)
	r.t.Errorf("came to its end: %v", err)
}

// TestKilledUpdateIsEnded stops at every point as a kill does, with no undo, and lets the next run end it.
func TestKilledUpdateIsEnded(t *testing.T) {
	for half, name := range []string{"even", "odd"} {
		t.Run(name, func(t *testing.T) {
			killAt(t, half)
		})
	}
}

// killAt kills updates of one site at every second step.
func killAt(t *testing.T, first int) {
	r := newRig(t)
	before := r.state()
	r.release(newer)
	steps := tried(moments, morePoints...)
	for i := first; i < len(steps); i += 2 {
		step := steps[i]
		t.Run(step, func(t *testing.T) {
			r.t = t
			r.updateKilled(step)
			journal, err := update.Unfinished(r.stateDir(), "lms")
			r.must(err)
			finished := journal == nil
			if journal != nil {
				if _, err := r.update(r.options()); err == nil {
					t.Error("another update was begun")
				}
				finished, err = update.Recover(t.Context(), r.options(), journal, stand.NewQuietRun())
				r.must(err)
			}
			if !finished {
				r.same(before, r.state())
			} else {
				if after := r.state(); after.version+".00" != newer.Version || after.page != http.StatusOK || after.cron != "1" {
					t.Errorf("version %s, page %d, cron %s", after.version, after.page, after.cron)
				}
				r.older()
				before = r.state()
			}
			r.nothingLeft()
		})
	}
}

// older makes a site of before the update of the updated one, for the next try.
func (r *rig) older() {
	r.t.Helper()
	r.git(r.site.CodeDir, "reset", "--quiet", "--hard", "v4.5.5")
	r.own(r.site.CodeDir)
	r.sql("UPDATE " + r.table("config") + " SET value = '" + r.site.Version + "' WHERE name = 'version'")
	r.run("php", "-d", "max_input_vars=5000", filepath.Join(r.site.CodeDir, "admin/cli/upgrade.php"), "--non-interactive")
}

// TestFailureIsTakenBack lets steps of each phase fail in turn.
func TestFailureIsTakenBack(t *testing.T) {
	r := newRig(t)
	before := r.state()
	r.release(newer)
	broken := errors.New("broken on purpose")
	// The kills go through every point; an error differs from them where it meets something at work.
	for _, step := range tried([]string{"cron", "upgrade", "visit"}, "preflight", "code move") {
		t.Run(step, func(t *testing.T) {
			r.t = t
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			met := false
			o := r.options()
			o.At = func(at string) {
				if at == step && !met {
					met = true
					cancel(broken)
				}
			}
			if _, err := update.Update(ctx, o, stand.NewQuietRun()); err == nil || !met {
				t.Fatalf("met %v, error %v", met, err)
			}
			if step == "visit" {
				r.dropKept()
			}
			r.same(before, r.state())
			r.nothingLeft()
		})
	}
}

// dropKept drops the schema with what was written into the updated site, which must be there.
func (r *rig) dropKept() {
	r.t.Helper()
	name := r.query("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE '" + strings.ReplaceAll(r.site.Database, "_", `\_`) + `\_mxo\_%'`)
	if name == "" {
		r.t.Error("what was written into the updated site is not kept")
		return
	}
	r.sql("DROP DATABASE `" + name + "`")
}
