package update_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/internal/update"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

func plugins(t *testing.T, dir string) map[string]string {
	t.Helper()
	version, err := moodle.ReadVersion(dir)
	if err != nil {
		t.Fatal(err)
	}
	disk, err := moodle.ReadPlugins(dir, version)
	if err != nil {
		t.Fatal(err)
	}
	return disk.Versions
}

// TestDatabaseThatStaysAway leaves the site closed, with the journal, until the server is there again.
func TestDatabaseThatStaysAway(t *testing.T) {
	r := newRigAlone(t)
	before := r.state()
	r.release(newer)
	o := r.options()
	o.DatabaseWait = time.Second
	o.At = func(step string) {
		if step == "upgrade begins" {
			r.db.Kill()
		}
	}
	_, err := r.update(o)
	if err == nil || !strings.Contains(err.Error(), "has not come to an end") {
		t.Errorf("error: %v", err)
	}
	if page := r.page(); page != http.StatusServiceUnavailable {
		t.Errorf("the login page answers %d", page)
	}
	r.must(r.db.Start())
	journal, err := update.Unfinished(r.stateDir(), "lms")
	r.must(err)
	if _, err := update.Recover(t.Context(), r.options(), journal, stand.NewQuietRun()); err != nil {
		t.Error(err)
	}
	r.same(before, r.state())
	r.nothingLeft()
}

// TestKilledWayBack kills the undo of a broken upgrade at each of its points, and wants the old site from the next run.
func TestKilledWayBack(t *testing.T) {
	r := newRig(t)
	before := r.state()
	broken := newer
	broken.Upgrade = `sql_run("DELETE FROM {user} WHERE id > 1"); throw new Exception('no way on');`
	r.release(broken)
	for _, step := range tried([]string{"code back", "tables exchanged"}, "code move back", "dump loaded", "database back", "put back") {
		t.Run(step, func(t *testing.T) {
			r.t = t
			r.updateKilled(step)
			journal, err := update.Unfinished(r.stateDir(), "lms")
			r.must(err)
			finished, err := update.Recover(t.Context(), r.options(), journal, stand.NewQuietRun())
			r.must(err)
			if finished {
				t.Error("it was finished")
			}
			r.same(before, r.state())
			r.nothingLeft()
		})
	}
}

// TestOpenedHalfWay kills an update in the middle of Moodle's upgrade, lets somebody open the site by hand and users write
// to it, and wants what they wrote kept.
func TestOpenedHalfWay(t *testing.T) {
	r := newRig(t)
	before := r.state()
	r.release(newer)
	r.updateKilled("upgrade")
	r.must(os.Remove(filepath.Join(r.site.Dataroot, "climaintenance.html")))
	r.sql("UPDATE " + r.table("course") + " SET fullname = 'written since'")
	journal, err := update.Unfinished(r.stateDir(), "lms")
	r.must(err)
	_, err = update.Recover(t.Context(), r.options(), journal, stand.NewQuietRun())
	r.must(err)
	kept := r.query("SELECT SCHEMA_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE '" + r.site.Database + `\_mxo\_%'`)
	if name := r.query("SELECT MAX(fullname) FROM `" + kept + "`.`" + r.site.Prefix + "course`"); name != "written since" {
		t.Errorf("kept is %q", name)
	}
	r.dropKept()
	r.same(before, r.state())
	r.nothingLeft()
}
