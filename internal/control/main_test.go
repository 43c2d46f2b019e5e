package control

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// One MariaDB serves all tests of the package; it starts with the first that wants it.
var server struct {
	once sync.Once
	db   *stand.MariaDBServer
	err  error
	stop []func() error

	sites atomic.Int64
}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, stop := range server.stop {
		if err := stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	os.Exit(code)
}

func database(t *testing.T) *stand.MariaDBServer {
	t.Helper()
	stand.Need(t, stand.MariaDB, stand.PHP)
	server.once.Do(func() {
		dir, remove, err := stand.MakeTempDir()
		if server.err = err; err != nil {
			return
		}
		server.stop = append(server.stop, remove)
		if server.db, server.err = stand.StartMariaDB(context.Background(), dir, stand.MariaDBOptions{}); server.err == nil {
			server.stop = append([]func() error{server.db.Close}, server.stop...)
		}
	})
	if server.err != nil {
		t.Fatal(server.err)
	}
	return server.db
}

// place is a site on a stand, as the tests see it and as this package does.
type place struct {
	*stand.Site
	t    *testing.T
	dir  string
	site *moodle.Site
	db   *sql.DB // of the site's database, as root
}

func newPlace(t *testing.T, options stand.SiteOptions) *place {
	t.Helper()
	db := database(t)
	if options.Name == "" {
		options.Name = strings.ToLower(strings.NewReplacer("/", "_", "#", "_").Replace(t.Name()))
		options.Name = options.Name[max(0, len(options.Name)-40):]
	}
	options.Name += strconv.Itoa(int(server.sites.Add(1))) // for -count
	p := &place{t: t, dir: stand.TempDir(t)}
	var err error
	if p.Site, err = stand.NewSite(t.Context(), p.dir, db, options); err != nil {
		t.Fatal(err)
	}
	p.find()
	if p.db, err = sql.Open("mysql", db.RootDSN(p.Database)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { must(t, p.db.Close()) })
	return p
}

// find reads the site anew, as a job does at its start.
func (p *place) find() {
	p.t.Helper()
	// getenv() in config.php reads what the pool of the site's user sets.
	var pool strings.Builder
	fmt.Fprintf(&pool, "[www]\nuser = %s\n", p.Web.Name)
	for _, entry := range p.Environment() {
		name, value, _ := strings.Cut(entry, "=")
		fmt.Fprintf(&pool, "env[%s] = %s\n", name, value)
	}
	file := filepath.Join(p.dir, "pool.conf")
	must(p.t, os.WriteFile(file, []byte(pool.String()), 0o600))
	finder := &moodle.Finder{Root: p.dir, PoolFiles: []string{file}, Logger: slog.New(slog.DiscardHandler)}
	sites, problems := finder.Find(p.t.Context(), []config.Site{{Dir: p.CodeDir, Name: p.Name, User: p.Web.Name}})
	if len(sites) != 1 {
		p.t.Fatalf("sites %v, problems %v", sites, problems)
	}
	p.site = sites[0]
}

func (p *place) cli() CLI { return CLI{Site: p.site} }

// exec runs a statement in which {name} is a table of the site.
func (p *place) exec(statement string) {
	p.t.Helper()
	if _, err := p.db.ExecContext(p.t.Context(), strings.NewReplacer("{", p.Prefix, "}", "").Replace(statement)); err != nil {
		p.t.Fatal(err)
	}
}

// value is the one value that a query gives, "" for no row.
func (p *place) value(query string) (value string) {
	p.t.Helper()
	err := p.db.QueryRowContext(p.t.Context(), strings.NewReplacer("{", p.Prefix, "}", "").Replace(query)).Scan(&value)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		p.t.Fatal(err)
	}
	return value
}

// edit replaces a text in a file of the code.
func (p *place) edit(name, old, fresh string) {
	p.t.Helper()
	path := filepath.Join(p.CodeDir, name)
	content, err := os.ReadFile(path)
	must(p.t, err)
	if !strings.Contains(string(content), old) {
		p.t.Fatalf("%s does not hold %q", name, old)
	}
	must(p.t, os.WriteFile(path, []byte(strings.ReplaceAll(string(content), old, fresh)), 0o640))
}

// update puts code of another version in the place of the present.
func (p *place) update(version string) {
	p.t.Helper()
	public, err := filepath.Rel(p.CodeDir, p.DocRoot)
	must(p.t, err)
	p.edit(filepath.Join(public, "version.php"), p.Version, version)
	p.Version = version
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// await waits until a condition holds.
func await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain for " + what)
		}
	}
}
