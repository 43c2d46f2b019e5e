package update_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/job"
	"github.com/moodle-exporter/moodle-exporter/internal/update"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// testRun watches nothing.
type testRun struct{ id string }

func newRun() *testRun { return &testRun{id: time.Now().UTC().Format(job.IDLayout)} }

func (run *testRun) ID() string { return run.id }
func (*testRun) Step(ctx context.Context, _ string, part func(context.Context) error) error {
	return part(ctx)
}
func (*testRun) SetTotal(int64)        {}
func (*testRun) Add(int64)             {}
func (*testRun) ChildStarted(int)      {}
func (*testRun) LockFiles() []*os.File { return nil }
func (*testRun) Announce(time.Time)    {}

// state is all that makes the site: rows, code with owners and modes, version, and what a visitor sees.
type state struct {
	rows, code, version, cron string
	page                      int
}

func (r *rig) state() state {
	r.t.Helper()
	return state{rows: r.rows(), code: r.tree(r.site.CodeDir), version: r.setting("version"), cron: r.setting("cron_enabled"), page: r.page()}
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

// page is the status of the login page; -1 for one that is none.
func (r *rig) page() int {
	r.t.Helper()
	request, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, r.site.WWWRoot+"/login/index.php", nil)
	r.must(err)
	response, err := r.web.Client().Do(request)
	r.must(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	r.must(err)
	if response.StatusCode == http.StatusOK && !bytes.Contains(body, []byte(`name="password"`)) {
		return -1
	}
	return response.StatusCode
}

// moment are the tables that hold what belongs to a moment; settings are looked at one by one.
var moment = []string{"sessions", "task_scheduled", "task_adhoc", "lock_db", "config"}

func (r *rig) rows() string {
	r.t.Helper()
	db, err := sql.Open("mysql", r.db.RootDSN(r.site.Database))
	r.must(err)
	defer db.Close()
	names, err := db.QueryContext(r.t.Context(), "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() ORDER BY 1")
	r.must(err)
	defer names.Close()
	var tables []string
	for names.Next() {
		var name string
		r.must(names.Scan(&name))
		tables = append(tables, name)
	}
	var sums []string
	for _, table := range tables {
		if slices.Contains(moment, strings.TrimPrefix(table, r.site.Prefix)) {
			continue
		}
		var name string
		var sum sql.NullInt64
		r.must(db.QueryRowContext(r.t.Context(), "CHECKSUM TABLE `"+table+"`").Scan(&name, &sum))
		sums = append(sums, fmt.Sprintf("%s %d", table, sum.Int64))
	}
	return strings.Join(sums, "\n")
}

func (r *rig) tree(dir string) string {
	r.t.Helper()
	var lines []string
	r.must(filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		digest := ""
		if info.Mode().IsRegular() {
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			digest = fmt.Sprintf("%x", sha256.Sum256(content))
		}
		name, _ := filepath.Rel(dir, path)
		owner := stand.Owner(info)
		lines = append(lines, fmt.Sprintf("%s %v %d:%d %s", name, info.Mode(), owner.UID, owner.GID, digest))
		return nil
	}))
	return strings.Join(lines, "\n")
}

func (r *rig) same(before, after state) {
	r.t.Helper()
	for _, part := range []struct{ what, before, after string }{
		{"rows", before.rows, after.rows}, {"code", before.code, after.code}, {"version", before.version, after.version}, {"cron", before.cron, after.cron},
	} {
		if part.before != part.after {
			r.t.Errorf("%s:\n%s", part.what, diff(part.before, part.after))
		}
	}
	if before.page != after.page {
		r.t.Errorf("the login page answers %d, and did %d", after.page, before.page)
	}
}

// diff are the lines that only one of two texts has, at most 20.
func diff(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	var out []string
	for _, line := range x {
		if !slices.Contains(y, line) {
			out = append(out, "- "+line)
		}
	}
	for _, line := range y {
		if !slices.Contains(x, line) {
			out = append(out, "+ "+line)
		}
	}
	return strings.Join(out[:min(len(out), 20)], "\n")
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
