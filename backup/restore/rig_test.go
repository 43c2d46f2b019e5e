package restore_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/backup/restore"
	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// One MariaDB serves all tests of the package; it starts with the first of them.
var server struct {
	once sync.Once
	db   *stand.MariaDBServer
	err  error
	stop []func() error
}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, stop := range slices.Backward(server.stop) {
		if err := stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	os.Exit(code)
}

func database(t testing.TB) *stand.MariaDBServer {
	t.Helper()
	stand.Need(t, stand.MariaDB, stand.Zstd)
	server.once.Do(func() {
		dir, remove, err := stand.MakeTempDir()
		if server.err = err; err != nil {
			return
		}
		server.stop = append(server.stop, remove)
		if server.db, server.err = stand.StartMariaDB(context.Background(), dir, stand.MariaDBOptions{}); server.err == nil {
			server.stop = append(server.stop, server.db.Close)
		}
	})
	if server.err != nil {
		t.Fatal(server.err)
	}
	return server.db
}

// rig is one site that is served through nginx and PHP-FPM, with a place for its backups.
type rig struct {
	t     testing.TB
	dir   string
	db    *stand.MariaDBServer
	site  *stand.Site
	web   *stand.NginxServer
	fpm   *stand.PHPFPMServer
	etc   string // configuration of the host
	log   *bytes.Buffer
	entry config.Site
	undo  []func() // of what a test has forged
}

func newRig(t testing.TB, o stand.SiteOptions) *rig {
	t.Helper()
	stand.Need(t, stand.PHPFPM, stand.Nginx)
	r := &rig{t: t, dir: stand.TempDir(t), db: database(t), log: &bytes.Buffer{}}
	port, err := stand.FreePort()
	r.must(err)
	o.Name = strings.ToLower(strings.NewReplacer("/", "_", "#", "_").Replace(strings.TrimPrefix(t.Name(), "Test")))
	o.Name = o.Name[:min(len(o.Name), 30)]
	o.WWWRoot = "https://" + net.JoinHostPort("localhost", strconv.Itoa(port))
	r.site, err = stand.NewSite(t.Context(), r.dir, r.db, o)
	r.must(err)
	t.Cleanup(func() { _ = r.db.Exec(context.Background(), "DROP DATABASE IF EXISTS `"+r.site.Database+"`") })
	r.fpm, err = stand.StartPHPFPM(t.Context(), r.dir)
	r.must(err)
	r.web, err = stand.StartNginx(t.Context(), r.dir, r.site, r.fpm, stand.NginxOptions{Port: port})
	r.must(err)
	r.etc = filepath.Join(r.dir, "etc")
	r.write(filepath.Join(r.etc, "nginx/site.conf"), "server {}\n")
	r.entry = config.Site{Name: "lms", Dir: r.site.CodeDir, User: r.site.Web.Name}
	r.entry.Database.Admin = config.Account{User: r.db.RootUser(), Socket: r.db.Socket}
	return r
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) write(path, content string) {
	r.t.Helper()
	r.must(os.MkdirAll(filepath.Dir(path), 0o755))
	r.must(os.WriteFile(path, []byte(content), 0o640))
}

// live is the site as the host shows it; nil if it cannot be read.
func (r *rig) live() *moodle.Site {
	r.t.Helper()
	finder := &moodle.Finder{Root: "/", PoolFiles: []string{r.fpm.ConfigFile}, Group: -1, Logger: slog.New(slog.DiscardHandler)}
	found, _ := finder.Find(r.t.Context(), []config.Site{r.entry})
	if len(found) != 1 {
		return nil
	}
	return found[0]
}

func (r *rig) backups() string  { return filepath.Join(r.dir, "backup") }
func (r *rig) stateDir() string { return filepath.Join(r.dir, "state") }

// backUp makes a backup of the site as it is.
func (r *rig) backUp() *backup.Manifest {
	r.t.Helper()
	manifest, err := backup.Create(r.t.Context(), backup.Options{
		Site: r.live(), Host: "here", Version: "test", Logger: r.logger(),
		Config: config.Backup{Dir: r.backups(), Keep: config.Keep{Last: 3}, ConfigPaths: []string{r.etc + "/nginx"},
			LogPaths: []string{r.etc + "/none"}, SystemPaths: []string{r.etc + "/none"}},
	}, &testRun{})
	var missing *backup.MissingError
	if err != nil && !errors.As(err, &missing) {
		r.t.Fatal(err)
	}
	return manifest
}

func (r *rig) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

// options restore a backup of this rig.
func (r *rig) options(m *backup.Manifest) restore.Options {
	return restore.Options{
		Reader: backup.NewReader(store.NewDirectory(backup.SiteDir(r.backups(), m.Site)), m), Live: r.live(), Configured: r.entry,
		ConfigPaths: []string{r.etc + "/nginx"}, Root: "/", NginxFile: filepath.Join(r.dir, "nginx/nginx.conf"), StateDir: r.stateDir(),
		PoolFiles: []string{r.fpm.ConfigFile}, Group: -1, Version: "test", Logger: r.logger(),
	}
}

func (r *rig) restore(o restore.Options) (*restore.Result, error) {
	r.t.Helper()
	r.must(os.MkdirAll(r.stateDir(), 0o750))
	result, err := restore.Restore(r.t.Context(), o, &testRun{id: time.Now().UTC().Format(job.IDLayout)})
	if err != nil {
		r.t.Logf("log of the restore:\n%s", r.log)
	}
	return result, err
}

// testRun watches nothing.
type testRun struct {
	id    string
	steps []string
}

func (run *testRun) ID() string { return run.id }
func (run *testRun) Step(ctx context.Context, name string, part func(context.Context) error) error {
	run.steps = append(run.steps, name)
	return part(ctx)
}
func (*testRun) SetTotal(int64)        {}
func (*testRun) Add(int64)             {}
func (*testRun) ChildStarted(int)      {}
func (*testRun) LockFiles() []*os.File { return nil }
func (*testRun) Announce(time.Time)    {}

// state is all that makes the site: rows, files with owner and mode, and what a visitor sees. Caches and what
// belongs to a moment are left out.
type state struct {
	Rows, Code, Data, Blobs string
	Page                    int
}

func (r *rig) state() (s state) {
	r.t.Helper()
	return state{Rows: r.rows(r.site.Database), Code: r.tree(r.site.CodeDir), Data: r.tree(r.site.Dataroot), Blobs: "", Page: r.page()}
}

// page is the status of the login page.
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

// rows is a checksum of each table of a schema, but for those that a restore empties or sets.
func (r *rig) rows(schema string) string {
	r.t.Helper()
	db, err := sql.Open("mysql", r.db.RootDSN(schema))
	r.must(err)
	defer db.Close()
	names, err := db.QueryContext(r.t.Context(), "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND TABLE_TYPE = 'BASE TABLE' ORDER BY 1", schema)
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
		short := strings.TrimPrefix(table, r.site.Prefix)
		if slices.Contains([]string{"sessions", "task_scheduled", "task_adhoc", "lock_db", "config"}, short) {
			continue
		}
		var name string
		var sum sql.NullInt64
		r.must(db.QueryRowContext(r.t.Context(), "CHECKSUM TABLE `"+table+"`").Scan(&name, &sum))
		sums = append(sums, fmt.Sprintf("%s %d", table, sum.Int64))
	}
	return strings.Join(sums, "\n")
}

// tree lists what is in a directory, without what a site keeps for itself only for a while.
func (r *rig) tree(dir string) string {
	r.t.Helper()
	var lines []string
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		top, _, _ := strings.Cut(name, "/")
		if strings.HasPrefix(top, ".mxp-") || slices.Contains([]string{"cache", "localcache", "temp", "sessions", "trashdir", "lock"}, top) {
			if entry.IsDir() {
				return filepath.SkipDir
			}
			return nil
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
		owner := stand.Owner(info)
		lines = append(lines, fmt.Sprintf("%s %v %d:%d %s", name, info.Mode(), owner.UID, owner.GID, digest))
		return nil
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		r.t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

// nothingLeft looks for what a restore must not leave behind.
func (r *rig) nothingLeft() {
	r.t.Helper()
	for _, dir := range []string{r.dir, r.site.Dataroot, filepath.Join(r.site.Dataroot, "filedir")} {
		entries, err := os.ReadDir(dir)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			r.t.Fatal(err)
		}
		for _, entry := range entries {
			if strings.HasPrefix(entry.Name(), ".mxp-") {
				r.t.Errorf("left over: %s", filepath.Join(dir, entry.Name()))
			}
		}
	}
	if left, err := filepath.Glob(filepath.Join(r.stateDir(), "restore/lms/.*")); err != nil || len(left) > 0 {
		r.t.Errorf("left over: %v, %v", left, err)
	}
	if journals, err := restore.Journals(r.stateDir(), "lms"); err != nil || len(journals) > 0 {
		r.t.Errorf("journals left: %d, %v", len(journals), err)
	}
	db, err := sql.Open("mysql", r.db.RootDSN(""))
	r.must(err)
	defer db.Close()
	var schemas int
	r.must(db.QueryRowContext(r.t.Context(), "SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE ?", strings.ReplaceAll(r.site.Database, "_", `\_`)+`\_mx%`).Scan(&schemas))
	if schemas > 0 {
		r.t.Errorf("%d schemas are left over", schemas)
	}
}
