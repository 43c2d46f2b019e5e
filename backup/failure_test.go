package backup

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// fails makes a backup that must not succeed, and must leave nothing behind.
func fails(t *testing.T, o Options, run Run) error {
	t.Helper()
	before := ids(t, o)
	manifest, err := Create(t.Context(), o, run)
	if err == nil || manifest != nil {
		t.Fatalf("it succeeded: %v", manifest)
	}
	nothingLeftOver(t, o)
	if after := ids(t, o); !slices.Equal(before, after) {
		t.Errorf("backups before %v and after %v", before, after)
	}
	return err
}

func TestRefusedBeforeAnythingIsDone(t *testing.T) {
	t.Parallel()
	site, usual := newSite(t, stand.SiteOptions{Password: everyPrintable()})
	db := database(t)
	account := func(privileges string) config.Account {
		name := "a" + fmt.Sprint(time.Now().UnixNano())
		must(t, db.CreateAccount(t.Context(), name, "secret'Word", site.Database, privileges))
		file := filepath.Join(t.TempDir(), "password")
		must(t, os.WriteFile(file, []byte("secret'Word\n"), 0o600))
		return config.Account{User: name, PasswordFile: file, Socket: db.Socket}
	}
	inDatabase(t, site, "CREATE DATABASE IF NOT EXISTS empty_one")
	for name, test := range map[string]struct {
		change func(*Options, *moodle.Site)
		say    string
	}{
		"wrong password": {func(o *Options, s *moodle.Site) {
			a := account("ALL")
			must(t, os.WriteFile(a.PasswordFile, []byte("wrong"), 0o600))
			s.Admin = a
		}, "lets nobody in"},
		"no server": {func(_ *Options, s *moodle.Site) {
			s.Admin = config.Account{User: "root", Socket: "/nowhere/mysql.sock"}
		}, "lets nobody in"},
		"without TRIGGER": {func(_ *Options, s *moodle.Site) {
			s.Admin = account("SELECT, SHOW VIEW, EVENT, LOCK TABLES, EXECUTE")
		}, "GRANT TRIGGER ON"},
		"without EVENT and SHOW VIEW": {func(_ *Options, s *moodle.Site) { s.Admin = account("SELECT, TRIGGER, EXECUTE") }, "GRANT SHOW VIEW, EVENT ON"},
		"without routines":            {func(_ *Options, s *moodle.Site) { s.Admin = account("SELECT, SHOW VIEW, EVENT, TRIGGER") }, "GRANT SELECT ON mysql.proc"},
		"not primary":                 {func(_ *Options, s *moodle.Site) { s.Primary = false }, "primary: true"},
		"PostgreSQL":                  {func(_ *Options, s *moodle.Site) { s.Config.DBType = "pgsql" }, "unsupported"},
		"another prefix":              {func(_ *Options, s *moodle.Site) { s.Config.Prefix = "other_" }, "$CFG->prefix"},
		"backups in the dataroot":     {func(o *Options, _ *moodle.Site) { o.Config.Dir = filepath.Join(site.Dataroot, "backup") }, "lies in the dataroot"},
		"backups in the code":         {func(o *Options, _ *moodle.Site) { o.Config.Dir = filepath.Join(site.CodeDir, "x", "y") }, "lies in the code"},
		"backups around the site":     {func(o *Options, _ *moodle.Site) { o.Config.Dir = filepath.Dir(site.CodeDir) }, "holds the site"},
		"backups in a web root":       {func(o *Options, _ *moodle.Site) { o.Config.Dir = "/var/www/html/backup" }, "web servers hand out"},
		"no dataroot":                 {func(_ *Options, s *moodle.Site) { s.Config.DataRoot = "/nowhere" }, "cannot be read"},
		"unknown component":           {func(o *Options, _ *moodle.Site) { o.Components = []string{"everything"} }, "no component"},
		"backup directory is a file": {func(o *Options, _ *moodle.Site) {
			must(t, os.WriteFile(o.Config.Dir, nil, 0o600))
		}, "is not a directory"},
		"open to everybody": {func(o *Options, _ *moodle.Site) {
			must(t, os.MkdirAll(o.Config.Dir, 0o700))
			must(t, os.Chmod(o.Config.Dir, 0o777))
		}, "chmod 700"},
	} {
		t.Run(name, func(t *testing.T) {
			o, s := usual, *usual.Site
			o.Site, o.Config.Dir = &s, filepath.Join(stand.TempDir(t), "backup")
			test.change(&o, &s)
			_, err := Create(t.Context(), o, noRun{})
			var refused *RefusedError
			if !errors.As(err, &refused) {
				t.Fatalf("not refused: %v", err)
			}
			if text := err.Error(); !strings.Contains(text, test.say) || strings.Contains(text, "secret'Word") {
				t.Errorf("it says %q, without %q", text, test.say)
			}
			if _, err := os.Stat(filepath.Join(o.Config.Dir, "lms")); !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
				t.Errorf("a directory was made all the same (%v)", err)
			}
		})
	}
}

func TestRefusesUpgradesAndUnprotectedTables(t *testing.T) {
	t.Parallel()
	site, o := newSite(t, stand.SiteOptions{})
	inDatabase(t, site, "REPLACE INTO "+site.Prefix+"config (name, value) VALUES ('upgraderunning', '"+fmt.Sprint(time.Now().Add(time.Hour).Unix())+"')")
	if err := fails(t, o, noRun{}); !strings.Contains(err.Error(), "upgrade") {
		t.Error(err)
	}
	inDatabase(t, site, "UPDATE "+site.Prefix+"config SET value='"+fmt.Sprint(time.Now().Add(-time.Hour).Unix())+"' WHERE name='upgraderunning'",
		"CREATE TABLE plugin_table (id INT PRIMARY KEY) ENGINE=MyISAM")
	err := fails(t, o, noRun{})
	var refused *RefusedError
	if !errors.As(err, &refused) || !strings.Contains(err.Error(), "ALTER TABLE `plugin_table` ENGINE=InnoDB") {
		t.Error(err)
	}
	o.AllowNonTransactional = true
	if m := create(t, o); !strings.Contains(strings.Join(m.Warnings, "\n"), "plugin_table (MyISAM)") {
		t.Errorf("the manifest does not tell: %v", m.Warnings)
	}
}

// everyPrintable is each printable ASCII character once.
func everyPrintable() string {
	var all []byte
	for c := byte(' '); c <= '~'; c++ {
		all = append(all, c)
	}
	return string(all)
}

// TestAnyPassword: the site's own account, with every printable character in its password, over TCP and
// the socket, is enough where the server lets no root in; and the password stands nowhere.
func TestAnyPassword(t *testing.T) {
	t.Parallel()
	site, o := newSite(t, stand.SiteOptions{Password: everyPrintable()})
	db := database(t)
	var log lockedBuffer
	o.Logger = loggerTo(&log)
	for name, place := range map[string]moodle.PHPConfig{
		"tcp": {DBHost: "127.0.0.1", DBPort: db.Port}, "socket": {DBHost: "localhost", DBSocket: db.Socket},
	} {
		s := *o.Site
		o.Site = &s
		s.Config.DBHost, s.Config.DBPort, s.Config.DBSocket = place.DBHost, place.DBPort, place.DBSocket
		s.Admin = config.Account{User: site.User, Socket: place.DBSocket, PasswordFile: filepath.Join(t.TempDir(), "p")}
		must(t, os.WriteFile(s.Admin.PasswordFile, []byte(site.Password), 0o600))
		if m := create(t, o); m.Database.Rows[site.Prefix+"user"] == 0 {
			t.Errorf("%s: no users in the dump", name)
		}
		if db.RootUser() != "root" {
			continue
		}
		// Nothing configured: root over TCP is refused, and the site's account is the next choice.
		if name == "tcp" {
			s.Admin = config.Account{}
			create(t, o)
		}
	}
	must(t, filepath.WalkDir(o.Config.Dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if content := read(t, path); strings.Contains(content, site.Password) {
			t.Errorf("%s holds the password", path)
		}
		return nil
	}))
	if strings.Contains(log.String(), site.Password) {
		t.Error("the log holds the password")
	}
}

// watchedRun calls on with the name of the step for each progress.
type watchedRun struct {
	noRun
	step atomic.Value
	on   func(step string)
}

func (r *watchedRun) Step(ctx context.Context, name string, part func(context.Context) error) error {
	r.step.Store(name)
	return part(ctx)
}

func (r *watchedRun) Add(int64) { r.on(r.step.Load().(string)) }

// fill adds tables that are larger than all buffers between the server and the backup.
func fill(t *testing.T, site *stand.Site) {
	t.Helper()
	inDatabase(t, site, "CREATE TABLE aa (id INT PRIMARY KEY, t TEXT)", "INSERT INTO aa SELECT seq, REPEAT(MD5(seq), 60) FROM seq_1_to_30000",
		"CREATE TABLE zz (id INT PRIMARY KEY, t TEXT)", "INSERT INTO zz VALUES (1, 'x')")
}

func TestServerKilledDuringTheDump(t *testing.T) {
	site, o := newSite(t, stand.SiteOptions{})
	fill(t, site)
	db := database(t)
	create(t, o)
	killed := false
	err := fails(t, o, &watchedRun{on: func(step string) {
		if step == "dump" && !killed {
			killed = true
			db.Kill()
		}
	}})
	must(t, db.Start())
	if !killed || !strings.Contains(err.Error(), "dump database") || !strings.Contains(err.Error(), "mariadb-dump") {
		t.Errorf("killed: %v, error: %v", killed, err)
	}
	create(t, o)
}

// TestTriggerMadeDuringTheDump: where there was none, the program was not told to look for any.
func TestTriggerMadeDuringTheDump(t *testing.T) {
	t.Parallel()
	site, o := newSite(t, stand.SiteOptions{})
	fill(t, site)
	pool, err := sql.Open("mysql", database(t).RootDSN(site.Database))
	must(t, err)
	defer pool.Close()
	var made sync.Once
	manifest, err := Create(t.Context(), o, &watchedRun{on: func(step string) {
		if step != "dump" {
			return
		}
		made.Do(func() {
			if _, err := pool.Exec("CREATE TRIGGER late BEFORE INSERT ON zz FOR EACH ROW SET NEW.t = ''"); err != nil {
				t.Error(err)
			}
		})
	}})
	must(t, err)
	if manifest.Database.Triggers != 1 {
		t.Errorf("%d triggers are in the dump, not the one that there is", manifest.Database.Triggers)
	}
}

func TestStructureChangedDuringTheDump(t *testing.T) {
	t.Parallel()
	site, o := newSite(t, stand.SiteOptions{})
	fill(t, site)
	pool, err := sql.Open("mysql", database(t).RootDSN(site.Database))
	must(t, err)
	defer pool.Close()
	var log lockedBuffer
	o.Logger = loggerTo(&log)
	changes, limit := 0, 1
	run := &watchedRun{on: func(string) {}}
	run.on = func(step string) {
		// Once in each attempt.
		if step == "dump" && changes < limit && strings.Count(log.String(), "dumping it once more") == changes {
			changes++
			if _, err := pool.Exec(fmt.Sprintf("ALTER TABLE zz ADD COLUMN c%d INT, ALGORITHM=COPY", time.Now().UnixNano())); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := Create(t.Context(), o, run); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "dumping it once more") {
		t.Errorf("the change was not noticed: %s", log.String())
	}
	log.Reset()
	changes, limit = 0, 2
	if err := fails(t, o, run); !strings.Contains(err.Error(), "dump database") {
		t.Error(err)
	}
}
