package update_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/control"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/internal/update"
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

// rig is a site that is served through nginx and PHP-FPM, a checkout of a repository that has newer releases.
type rig struct {
	t      testing.TB
	dir    string
	db     *stand.MariaDBServer
	site   *stand.Site
	web    *stand.NginxServer
	fpm    *stand.PHPFPMServer
	origin string // work tree of the repository
	log    *bytes.Buffer
	entry  config.Site
}

func newRig(t *testing.T) *rig {
	t.Helper()
	t.Parallel() // most of an update is waiting
	return newRigOn(t, database(t))
}

// newRigAlone has a server of its own, which it may take away.
func newRigAlone(t *testing.T) *rig {
	t.Helper()
	t.Parallel()
	stand.Need(t, stand.MariaDB, stand.Zstd)
	db, err := stand.StartMariaDB(context.Background(), stand.TempDir(t), stand.MariaDBOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return newRigOn(t, db)
}

func newRigOn(t *testing.T, db *stand.MariaDBServer) *rig {
	t.Helper()
	stand.Need(t, stand.PHPFPM, stand.Nginx)
	if _, err := exec.LookPath("git"); err != nil {
		t.Fatal("git is missing")
	}
	if os.Getuid() != 0 {
		t.Skip("not root: nobody else's rights can be taken")
	}
	r := &rig{t: t, dir: stand.TempDir(t), db: db, log: &bytes.Buffer{}}
	port, err := stand.FreePort()
	r.must(err)
	name := strings.ToLower(strings.NewReplacer("/", "_", "#", "_").Replace(strings.TrimPrefix(t.Name(), "Test")))
	r.site, err = stand.NewSite(t.Context(), r.dir, r.db, stand.SiteOptions{Name: name[:min(len(name), 30)], WWWRoot: "https://" + net.JoinHostPort("localhost", strconv.Itoa(port))})
	r.must(err)
	t.Cleanup(func() { _ = r.db.Exec(context.Background(), "DROP DATABASE IF EXISTS `"+r.site.Database+"`") })
	r.checkOut()
	r.fpm, err = stand.StartPHPFPM(t.Context(), r.dir)
	r.must(err)
	r.web, err = stand.StartNginx(t.Context(), r.dir, r.site, r.fpm, stand.NginxOptions{Port: port, EitherLayout: true})
	r.must(err)
	r.entry = config.Site{Name: "lms", Dir: r.site.CodeDir, User: r.site.Web.Name}
	r.entry.Database.Admin = config.Account{User: r.db.RootUser(), Socket: r.db.Socket}
	r.sql("UPDATE " + r.table("quiz_attempts") + " SET state = 'finished'")
	// A site that Moodle has installed knows its versions.
	r.run("php", "-d", "max_input_vars=5000", filepath.Join(r.site.CodeDir, "admin/cli/upgrade.php"), "--non-interactive")
	return r
}

// run runs a program as the site's user.
func (r *rig) run(name string, arguments ...string) string {
	r.t.Helper()
	command := r.site.PHP(r.t.Context())
	command.Path, command.Args = lookPath(name), append([]string{name}, arguments...)
	output, err := command.CombinedOutput()
	if err != nil {
		r.t.Fatalf("%s %v: %v: %s", name, arguments, err, output)
	}
	return string(output)
}

func lookPath(name string) string {
	path, err := exec.LookPath(name)
	if err != nil {
		return name
	}
	return path
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
	r.must(os.Lchown(path, r.site.Web.UID, r.site.Web.GID))
}

func (r *rig) sql(statements ...string) {
	r.t.Helper()
	r.must(r.db.Exec(r.t.Context(), statements...))
}

func (r *rig) table(name string) string {
	return "`" + r.site.Database + "`.`" + r.site.Prefix + name + "`"
}

// live is the site as the host shows it.
func (r *rig) live() *moodle.Site {
	r.t.Helper()
	finder := &moodle.Finder{Root: "/", PoolFiles: []string{r.fpm.ConfigFile}, Group: -1, Logger: slog.New(slog.DiscardHandler)}
	found, problems := finder.Find(r.t.Context(), []config.Site{r.entry})
	if len(found) != 1 {
		r.t.Fatalf("the site cannot be read: %v", problems)
	}
	return found[0]
}

func (r *rig) backups() string  { return filepath.Join(r.dir, "backup") }
func (r *rig) stateDir() string { return filepath.Join(r.dir, "state") }

func (r *rig) options() update.Options {
	r.must(os.MkdirAll(r.stateDir(), 0o750))
	pem, err := os.ReadFile(r.web.CertificateFile)
	r.must(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	return update.Options{
		Site: r.live(), Configured: r.entry, NginxFile: filepath.Join(r.dir, "nginx/nginx.conf"), PoolFiles: []string{r.fpm.ConfigFile},
		StateDir: r.stateDir(), Group: -1, Version: "test", Host: "here", CronWait: 20 * time.Second, DatabaseWait: 30 * time.Second,
		Login: control.LoginCheck{Roots: roots}, Logger: slog.New(slog.NewTextHandler(r.log, nil)),
		Backup: config.Backup{Dir: r.backups(), Keep: config.Keep{Last: 3}, ConfigPaths: []string{r.dir + "/none"}, LogPaths: []string{r.dir + "/none"}, SystemPaths: []string{r.dir + "/none"}},
	}
}

// update updates the site, and says why not where it does not.
func (r *rig) update(o update.Options) (*update.Result, error) {
	r.t.Helper()
	r.log.Reset()
	result, err := update.Update(r.t.Context(), o, stand.NewQuietRun())
	if err != nil {
		r.t.Logf("update: %v", err)
	}
	return result, err
}
