package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// One MariaDB serves all tests of the package that want one; it starts with the first of them.
var server struct {
	once sync.Once
	dir  string
	db   *stand.MariaDBServer
	err  error
	stop []func() error
}

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		os.Exit(childMain())
	}
	code := m.Run()
	for _, stop := range server.stop {
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
		var remove func() error
		if server.dir, remove, server.err = stand.MakeTempDir(); server.err != nil {
			return
		}
		server.stop = append(server.stop, remove)
		if server.db, server.err = stand.StartMariaDB(context.Background(), server.dir, stand.MariaDBOptions{}); server.err == nil {
			server.stop = append([]func() error{server.db.Close}, server.stop...)
		}
	})
	if server.err != nil {
		t.Fatal(server.err)
	}
	return server.db
}

// newSite builds a site of its own for one test, and the options that back it up into a directory of its own.
func newSite(t testing.TB, options stand.SiteOptions) (*stand.Site, Options) {
	t.Helper()
	db := database(t)
	if options.Name == "" {
		options.Name = "s" + strings.ToLower(strings.NewReplacer("/", "_", "#", "_").Replace(t.Name()))
		options.Name = options.Name[:min(len(options.Name), 40)]
	}
	dir := stand.TempDir(t)
	site, err := stand.NewSite(t.Context(), dir, db, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Exec(context.Background(), "DROP DATABASE IF EXISTS "+quoteName(site.Database)) })
	return site, optionsFor(t, db, site, filepath.Join(dir, "backup"))
}

func optionsFor(t testing.TB, db *stand.MariaDBServer, site *stand.Site, dir string) Options {
	t.Helper()
	etc := filepath.Join(filepath.Dir(dir), "etc")
	for name, content := range map[string]string{"nginx/site.conf": "server {}\n", "ssl/key.pem": "secret\n", "log/nginx/access.log": "GET /\n"} {
		path := filepath.Join(etc, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	clock := &testClock{}
	return Options{
		Site: &moodle.Site{
			Name: "lms", Dir: site.CodeDir, Link: site.CodeDir, User: site.Web.Name, Primary: true,
			Config: moodle.PHPConfig{
				DBType: "mariadb", DBHost: "localhost", DBSocket: db.Socket, DBName: site.Database, DBUser: site.User,
				DBPass: config.Secret(site.Password), Prefix: site.Prefix, WWWRoot: site.WWWRoot, DataRoot: site.Dataroot,
			},
			Version: moodle.Version{Number: site.Version, Release: site.Release, Branch: site.Branch, Public: site.DocRoot != site.CodeDir},
			Admin:   config.Account{User: db.RootUser(), Socket: db.Socket},
		},
		Config: config.Backup{
			Dir: dir, Keep: config.Keep{Within: config.Duration(90 * 24 * time.Hour), Last: 3},
			ConfigPaths: []string{filepath.Join(etc, "nginx*")}, LogPaths: []string{filepath.Join(etc, "log")},
			SystemPaths: []string{filepath.Join(etc, "ssl")},
		},
		Version: "test", Host: "host.example", Logger: slog.New(slog.NewTextHandler(testLog{t}, nil)),
		Clock: clock.now, Wait: clock.wait,
	}
}

// testClock goes as the real one does, but for waits, which it leaps over: IDs are by the second, and tests
// make many backups.
type testClock struct{ ahead atomic.Int64 }

func (c *testClock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

func (c *testClock) wait(ctx context.Context, d time.Duration) error {
	c.ahead.Add(int64(d))
	return ctx.Err()
}

// testLog sends the log of a backup to the test's.
type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// create makes a backup that must succeed, and shows itself to be one.
func create(t testing.TB, o Options) *Manifest {
	t.Helper()
	manifest, err := Create(t.Context(), o, noRun{})
	var missing *MissingError
	if err != nil && !errors.As(err, &missing) {
		t.Fatal(err)
	}
	nothingLeftOver(t, o)
	return manifest
}

// nothingLeftOver looks for remains of unfinished work.
func nothingLeftOver(t testing.TB, o Options) {
	t.Helper()
	err := filepath.WalkDir(SiteDir(o.Config.Dir, o.Site.Name), func(path string, entry os.DirEntry, err error) error {
		if err == nil && strings.HasPrefix(entry.Name(), ".mxp-") {
			t.Errorf("left over: %s", path)
		}
		return err
	})
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

// ids are the backups that are listed.
func ids(t testing.TB, o Options) (names []string) {
	t.Helper()
	backups, err := List(t.Context(), o.Config.Dir, o.Site.Name)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range backups {
		if !b.Good() {
			t.Errorf("backup %s: %v", b.ID, b.Problem)
		}
		names = append(names, b.ID)
	}
	return names
}

func loggerTo(to io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(to, nil)) }

// lockedBuffer may be written and read at a time.
type lockedBuffer struct {
	mu      sync.Mutex
	content strings.Builder
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.content.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.content.String()
}

func (b *lockedBuffer) Reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.content.Reset()
}
