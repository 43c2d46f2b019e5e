package update_test

import (
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/internal/update"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// state is all that makes the site: rows, code with owners and modes, version, and what a visitor sees.
type state struct {
	rows, code, version, cron string
	page                      int
}

func (r *rig) state() state {
	r.t.Helper()
	rows, err := stand.Sums(r.t.Context(), r.db.RootDSN(r.site.Database), r.site.Prefix)
	r.must(err)
	code, err := stand.Listing(r.site.CodeDir, nil)
	r.must(err)
	return state{rows: rows, code: code, version: r.setting("version"), cron: r.setting("cron_enabled"), page: r.page()}
}

func (r *rig) query(query string) (value string) {
	r.t.Helper()
	db, err := sql.Open("mysql", r.db.RootDSN(r.site.Database))
	r.must(err)
	defer db.Close()
	err = db.QueryRowContext(r.t.Context(), query).Scan(&value)
	if !errors.Is(err, sql.ErrNoRows) {
		r.must(err)
	}
	return value
}

func (r *rig) setting(name string) string {
	r.t.Helper()
	return r.query("SELECT value FROM " + r.table("config") + " WHERE name = '" + name + "'")
}

// page is the status of the login page.
func (r *rig) page() int {
	r.t.Helper()
	status, err := r.web.LoginPage(r.t.Context(), r.site)
	r.must(err)
	return status
}

func (r *rig) same(before, after state) {
	r.t.Helper()
	for _, part := range []struct{ what, before, after string }{
		{"rows", before.rows, after.rows}, {"code", before.code, after.code}, {"version", before.version, after.version}, {"cron", before.cron, after.cron},
	} {
		if part.before != part.after {
			r.t.Errorf("%s:\n%s", part.what, stand.Diff(part.before, part.after))
		}
	}
	if before.page != after.page {
		r.t.Errorf("the login page answers %d, and did %d", after.page, before.page)
	}
}

// nothingLeft looks for what an update must not leave behind.
func (r *rig) nothingLeft() {
	r.t.Helper()
	for _, dir := range []string{r.dir, r.site.Dataroot, r.site.CodeDir} {
		entries, err := os.ReadDir(dir)
		r.must(err)
		for _, entry := range entries {
			if strings.HasPrefix(entry.Name(), ".mxp-") || entry.Name() == "climaintenance.html" {
				r.t.Errorf("left over: %s", filepath.Join(dir, entry.Name()))
			}
		}
	}
	if journal, err := update.Unfinished(r.stateDir(), "lms"); err != nil || journal != nil {
		r.t.Errorf("a journal is left: %+v, %v", journal, err)
	}
	if left := r.query("SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE '" + strings.ReplaceAll(r.site.Database, "_", `\_`) + `\_mx%'`); left != "0" {
		r.t.Errorf("%s schemas are left over", left)
	}
	for _, name := range []string{"upgraderunning", "maintenance_later"} {
		if value := r.setting(name); value != "" {
			r.t.Errorf("setting %s is %q", name, value)
		}
	}
}
