package moodle

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// every is a password of every printable ASCII character.
func every() string {
	var text strings.Builder
	for c := byte(' '); c < 0x7f; c++ {
		text.WriteByte(c)
	}
	return text.String()
}

// TestFind builds sites as hosts have them and finds them all, with logins that work.
func TestFind(t *testing.T) {
	stand.Need(t, stand.MariaDB, stand.PHP)
	ctx := context.Background()
	root := stand.TempDir(t)
	db, err := stand.StartMariaDB(ctx, filepath.Join(root, "db"), stand.MariaDBOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	web := filepath.Join(root, "var/www")
	if err := os.MkdirAll(filepath.Join(web, "html"), 0o755); err != nil {
		t.Fatal(err)
	}
	build := func(o stand.SiteOptions, dir string) *stand.Site {
		t.Helper()
		o.CodeDir, o.Dataroot = filepath.Join(web, dir), filepath.Join(root, "data-"+o.Name)
		o.WWWRoot = "https://" + o.Name + ".example.org"
		site, err := stand.NewSite(ctx, filepath.Join(root, "sites"), db, o)
		if err != nil {
			t.Fatal(err)
		}
		return site
	}
	build(stand.SiteOptions{Name: "plain", Socket: true, Password: every()}, "moodle")
	env := build(stand.SiteOptions{Name: "env", Config: stand.ConfigGetenv, Prefix: "env_", Password: `a"b;c`}, "html/moodle")
	build(stand.SiteOptions{Name: "computed", Version: "5.1", Config: stand.ConfigComputed, Password: every()}, "new")
	if err := os.CopyFS(filepath.Join(web, ".mxp-old"), os.DirFS(filepath.Join(web, "moodle"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("new", filepath.Join(web, "current")); err != nil {
		t.Fatal(err)
	}
	pool := filepath.Join(root, "pool.conf")
	lines := "[www]\nuser = " + env.Web.Name + "\n"
	for _, variable := range env.Environment() {
		name, value, _ := strings.Cut(variable, "=")
		lines += fmt.Sprintf("env[%s] = %s\n", name, quoted(value))
	}
	if err := os.WriteFile(pool, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	finder := &Finder{Root: root, PoolFiles: []string{pool}, StateDir: filepath.Join(root, "state"), Group: -1,
		Logger: slog.New(slog.DiscardHandler)}
	sites, problems := finder.Find(ctx, nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	var found []string
	for _, site := range sites {
		found = append(found, site.Name+" "+site.Config.DBName+" "+site.Config.ReadBy+" "+site.User+" "+site.Version.Branch)
		if err := logsIn(ctx, site.ConfigLogin(), site.Config.DBName); err != nil {
			t.Errorf("%s: %v", site.Name, err)
		}
	}
	user := env.Web.Name
	want := "current computed php " + user + " 501|env.example.org env php " + user + " 405|plain.example.org plain php " + user + " 405"
	if got := strings.Join(found, "|"); got != want {
		t.Errorf("found\n%s, want\n%s", got, want)
	}
	t.Run("names stay when another site of that name goes", func(t *testing.T) {
		if err := os.RemoveAll(filepath.Join(web, "html")); err != nil {
			t.Fatal(err)
		}
		sites, _ := finder.Find(ctx, nil)
		if len(sites) != 2 || sites[1].Name != "plain.example.org" {
			t.Errorf("%+v", sites)
		}
	})
	t.Run("the served tree of two is the site", func(t *testing.T) {
		if err := os.CopyFS(filepath.Join(web, "copy"), os.DirFS(filepath.Join(web, "moodle"))); err != nil {
			t.Fatal(err)
		}
		vhost := filepath.Join(root, "etc/nginx/sites-enabled/moodle")
		if err := os.MkdirAll(filepath.Dir(vhost), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(vhost, []byte("server {\n  root /var/www/moodle;\n}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		sites, _ := finder.Find(ctx, nil)
		if len(sites) != 2 || filepath.Base(sites[1].Dir) != "moodle" {
			t.Errorf("%+v", sites)
		}
	})
	t.Run("configured", func(t *testing.T) {
		sites, problems := finder.Find(ctx, []config.Site{{Name: "lms", Dir: filepath.Join(web, "moodle")}, {Dir: filepath.Join(web, "gone")}})
		if len(sites) != 1 || sites[0].Name != "lms" || len(problems) != 1 {
			t.Errorf("%+v %v", sites, problems)
		}
	})
	t.Run("never as root", func(t *testing.T) {
		_, problems := finder.Find(ctx, []config.Site{{Dir: filepath.Join(web, "moodle"), User: "root"}})
		if len(problems) != 1 || !strings.Contains(problems[0].Error(), "never run as root") {
			t.Errorf("%v", problems)
		}
	})
	t.Run("a password in a broken file stays there", func(t *testing.T) {
		path := filepath.Join(web, "moodle/config.php")
		if err := os.WriteFile(path, []byte("<?php $CFG->dbpass = 'hunter2' oops\nrequire 'lib/setup.php';"), 0o644); err != nil {
			t.Fatal(err)
		}
		_, problems := finder.Find(ctx, []config.Site{{Dir: filepath.Join(web, "moodle")}})
		if len(problems) != 1 || strings.Contains(problems[0].Error(), "hunter2") {
			t.Errorf("%v", problems)
		}
	})
}

func quoted(value string) string {
	if strings.Contains(value, `"`) {
		return "'" + value + "'"
	}
	return `"` + value + `"`
}

func logsIn(ctx context.Context, login Login, database string) error {
	connector, err := mysql.NewConnector(login.Driver(database, 5*time.Second))
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer func() { _ = db.Close() }()
	return db.PingContext(ctx)
}
