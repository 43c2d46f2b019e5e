package backup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// needRoot is for what only root can make.
func needRoot(t *testing.T, what string) {
	t.Helper()
	if os.Getuid() == 0 {
		return
	}
	if os.Getenv("CI") != "" {
		t.Fatal(what + " can only be made by root")
	}
	t.Skip("not root: what a backup does on " + what + " is not tried")
}

// disk makes the directory a file system of its own.
func disk(t *testing.T, dir, options string) {
	t.Helper()
	must(t, syscall.Mount("tmpfs", dir, "tmpfs", 0, options+",mode=0700"))
	t.Cleanup(func() { _ = syscall.Unmount(dir, 0) })
}

// TestReadOnlyDirectory: said before anything is begun, by a plan as well.
func TestReadOnlyDirectory(t *testing.T) {
	t.Parallel()
	needRoot(t, "a read-only disk")
	_, o := newSite(t, stand.SiteOptions{})
	o.Config.Dir = stand.TempDir(t)
	disk(t, o.Config.Dir, "size=1m")
	must(t, syscall.Mount("", o.Config.Dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	_, planned := MakePlan(t.Context(), o)
	_, made := Create(t.Context(), o, noRun{})
	for _, err := range []error{planned, made, MakeDir(&o)} {
		var refused *RefusedError
		if !errors.As(err, &refused) || !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), "mounted and writable") {
			t.Errorf("got %v", err)
		}
	}
}

// TestClockInThePast: a backup is made all the same, and everybody is told.
func TestClockInThePast(t *testing.T) {
	t.Parallel()
	_, o := newSite(t, stand.SiteOptions{})
	o.Components = []string{Logs}
	o.Config.Keep = config.Keep{Last: 1}
	first := create(t, o)
	var log lockedBuffer
	o.Logger = loggerTo(&log)
	now := o.Clock
	o.Clock = func() time.Time { return now().Add(-48 * time.Hour) }
	second := create(t, o)
	if told := strings.Join(second.Warnings, "; "); !strings.Contains(told, first.ID) || !strings.Contains(log.String(), "level=WARN") {
		t.Errorf("not told: %q, %s", told, log.String())
	}
	if there := ids(t, o); len(there) != 2 {
		t.Errorf("there are %v", there)
	}
	o.Clock = now
	log.Reset()
	if third := create(t, o); strings.Contains(log.String()+strings.Join(third.Warnings, ""), "clock") {
		t.Errorf("told without need: %v, %s", third.Warnings, log.String())
	}
}

// TestRightsByAllWays: what an account may do it may have by a role, for everybody, or at any level, and a
// real server says so in its own words.
func TestRightsByAllWays(t *testing.T) {
	site, o := newSite(t, stand.SiteOptions{})
	db := database(t)
	inDatabase(t, site, "CREATE TRIGGER tr BEFORE INSERT ON "+quoteName(site.Prefix+"course")+" FOR EACH ROW SET NEW.idnumber = ''",
		"CREATE VIEW v AS SELECT 1", "CREATE PROCEDURE p() SELECT 1", "CREATE EVENT e ON SCHEDULE EVERY 1 YEAR DO SELECT 1")
	o.Components = []string{Database}
	for i, test := range []struct {
		name string
		sql  string // statements; %A is the account, %R a role
		good bool
	}{
		{"the schema", "GRANT most ON schema TO %A; GRANT SELECT ON mysql.proc TO %A", true},
		{"everywhere", "GRANT most ON *.* TO %A", true},
		{"a pattern", "GRANT most ON " + quoteName("s%"+strings.ReplaceAll(site.Database[1:], "_", `\_`)) + ".* TO %A; GRANT SELECT ON mysql.* TO %A", true},
		{"a role that is on", "GRANT most ON schema TO %R; GRANT SELECT ON mysql.proc TO %R; GRANT %R TO %A; SET DEFAULT ROLE %R FOR %A", true},
		{"a role in a role", "CREATE ROLE %R_2; GRANT SELECT ON *.* TO %R_2; GRANT most ON schema TO %R; GRANT %R_2 TO %R; GRANT %R TO %A; SET DEFAULT ROLE %R FOR %A", true},
		{"a role that is off", "GRANT most ON *.* TO %R; GRANT %R TO %A; GRANT SELECT ON schema TO %A", false},
		{"another schema", "GRANT most ON mysql.* TO %A; GRANT SELECT ON schema TO %A", false},
		{"no routines", "GRANT most ON schema TO %A", false},
		{"only to run routines", "GRANT most, EXECUTE ON schema TO %A", false},
	} {
		fill := strings.NewReplacer("%A", fmt.Sprintf("'r%d'@'localhost'", i), "%R", fmt.Sprintf("role%d", i), "most", "SELECT, SHOW VIEW, TRIGGER, EVENT",
			"schema", quoteName(site.Database)+".*")
		must(t, db.Exec(t.Context(), strings.Split(fill.Replace("CREATE USER %A IDENTIFIED BY 'x'; CREATE ROLE %R; "+test.sql), "; ")...))
		password := filepath.Join(t.TempDir(), "password")
		must(t, os.WriteFile(password, []byte("x"), 0o600))
		s := *o.Site
		s.Admin = config.Account{User: fmt.Sprintf("r%d", i), PasswordFile: password, Socket: db.Socket}
		o.Site = &s
		m, err := Create(t.Context(), o, noRun{})
		var refused *RefusedError
		switch {
		case test.good && err != nil:
			t.Errorf("%s: %v", test.name, err)
		case test.good && (m.Database.Triggers != 1 || m.Database.Views != 1 || m.Database.Routines != 1 || m.Database.Events != 1):
			t.Errorf("%s: %+v", test.name, m.Database)
		case !test.good && !errors.As(err, &refused):
			t.Errorf("%s: not refused: %v", test.name, err)
		}
	}
}

// TestRoom: a tenth of bytes and of inodes stays free.
func TestRoom(t *testing.T) {
	room := free{bytes: 500, size: 1000, inodes: 50, inodeN: 100}
	for _, test := range []struct {
		bytes, inodes int64
		says          string
	}{
		{400, 40, ""}, {401, 1, "too few bytes"}, {1, 41, "too few inodes"},
	} {
		err := checkRoom("/backup", room, test.bytes, test.inodes)
		if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%d bytes, %d inodes: %v", test.bytes, test.inodes, err)
		}
	}
	room.inodes, room.inodeN = 0, 0 // a file system that makes inodes as needed
	if err := checkRoom("/backup", room, 1, 1_000_000); err != nil {
		t.Error(err)
	}
}
