package restore_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	_ "github.com/go-sql-driver/mysql"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/backup/restore"
	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
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
	}, &stand.QuietRun{})
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
	result, err := restore.Restore(r.t.Context(), o, stand.NewQuietRun())
	if err != nil {
		r.t.Logf("log of the restore:\n%s", r.log)
	}
	return result, err
}

// state is all that makes the site: rows, files with owner and mode, and what a visitor sees. Caches and what
// belongs to a moment are left out.
type state struct {
	Rows, Code, Data string
	Page             int
}

func (r *rig) state() (s state) {
	r.t.Helper()
	var errs [4]error
	s.Rows, errs[0] = stand.Sums(r.t.Context(), r.db.RootDSN(r.site.Database), r.site.Prefix)
	s.Code, errs[1] = stand.Listing(r.site.CodeDir, stand.ShortLived)
	s.Data, errs[2] = stand.Listing(r.site.Dataroot, stand.ShortLived)
	s.Page, errs[3] = r.web.LoginPage(r.t.Context(), r.site)
	r.must(errors.Join(errs[:]...))
	return s
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
