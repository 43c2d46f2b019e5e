package backup

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// TestDumpsThatOnlyLookWhole: the program reports success, and yet something is not there.
func TestDumpsThatOnlyLookWhole(t *testing.T) {
	site, o := newSite(t, stand.SiteOptions{})
	inDatabase(t, site, "CREATE TRIGGER tr BEFORE INSERT ON "+quoteName(site.Prefix+"course")+" FOR EACH ROW SET NEW.idnumber = ''",
		"CREATE VIEW v AS SELECT 1", "CREATE PROCEDURE p() SELECT 1", "CREATE EVENT e ON SCHEDULE EVERY 1 YEAR DO SELECT 1")
	real, err := findClient(t.Context(), dumpPrograms)
	must(t, err)
	session, err := connect(t.Context(), o.Site)
	must(t, err)
	defer session.Close()
	for name, test := range map[string]struct{ filter, say string }{
		"untouched":          {"cat", ""},
		"cut":                {"head -c 100000", "ends before its last line"},
		"nothing":            {"true", "ends before its last line"},
		"without triggers":   {"sed '/50003 TRIGGER/d'", "0 triggers, but the database has 1"},
		"without views":      {"sed '/50001 VIEW/d'", "0 views, but the database has 1"},
		"without procedures": {"sed '/PROCEDURE `p`()/d'", "0 routines, but the database has 1"},
		"without events":     {"sed '/50106 EVENT/d'", "0 events, but the database has 1"},
		"without a table":    {"sed '/^CREATE TABLE `" + site.Prefix + "course`/d'", "tables, but the database has"},
		"without users":      {"awk '/^INSERT INTO `" + site.Prefix + "user` /{skip=1} !skip{print} /;$/{skip=0}'", "no row of the table " + site.Prefix + "user"},
	} {
		script := filepath.Join(t.TempDir(), "mariadb-dump")
		must(t, os.WriteFile(script, []byte("#!/bin/sh\n"+real.path+` "$@" | `+test.filter+"\n"), 0o700))
		s := store.NewDirectory(t.TempDir())
		must(t, s.MakeDir(stagingName))
		named, err := newReferences(t.TempDir())
		must(t, err)
		d := &dumper{store: s, session: session, client: client{path: script}, site: o.Site, run: noRun{}, log: slog.New(slog.DiscardHandler), named: named}
		_, _, err = d.dump(t.Context())
		if test.say == "" {
			must(t, err)
		} else if err == nil || !strings.Contains(err.Error(), test.say) {
			t.Errorf("%s: %v does not say %q", name, err, test.say)
		}
		named.close()
	}
}

// TestSnapshotExistsWhenTold: rows that come after it is told of are not in the dump, even of the last table.
func TestSnapshotExistsWhenTold(t *testing.T) {
	site, o := newSite(t, stand.SiteOptions{})
	fill(t, site)
	session, err := connect(t.Context(), o.Site)
	must(t, err)
	defer session.Close()
	for _, program := range dumpPrograms {
		found, err := findClient(t.Context(), []string{program})
		must(t, err)
		s := store.NewDirectory(t.TempDir())
		must(t, s.MakeDir(stagingName))
		named, err := newReferences(t.TempDir())
		must(t, err)
		told := 0
		d := &dumper{store: s, session: session, client: found, site: o.Site, run: noRun{}, log: slog.New(slog.DiscardHandler), named: named,
			snapshot: func() {
				told++
				inDatabase(t, site, "REPLACE INTO zz VALUES (2, 'too late')")
			}}
		_, content, err := d.dump(t.Context())
		must(t, err)
		if told != 1 || content.Rows["zz"] != 1 || content.Rows["aa"] != 30000 {
			t.Errorf("%s: told %d times, %d rows of zz and %d of aa", program, told, content.Rows["zz"], content.Rows["aa"])
		}
		inDatabase(t, site, "DELETE FROM zz WHERE id = 2")
		named.close()
	}
}

// TestOptionFile: TestAnyPassword has the real client read such a file.
func TestOptionFile(t *testing.T) {
	var out bytes.Buffer
	must(t, optionFile(&out, moodle.Login{User: "a#b", Password: config.Secret("x\"y\\z'\n#; "), Network: "tcp", Address: "[::1]:3307"}))
	want := "[client]\nuser=\"a#b\"\npassword=\"x\\\"y\\\\z'\\n#; \"\nhost=\"::1\"\nport=3307\nprotocol=tcp\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

// TestClientOptions: what each program knows, it is told, and nothing that it does not know.
func TestClientOptions(t *testing.T) {
	for version, want := range map[string]string{
		"mysqldump  Ver 8.0.36 for Linux on x86_64 (MySQL Community Server - GPL)":                        "--set-gtid-purged=OFF --column-statistics=0",
		"mysqldump  Ver 8.4.0-1 for Linux on x86_64 (Percona Server (GPL), Release 1)":                    "--set-gtid-purged=OFF --column-statistics=0",
		"mysqldump  Ver 10.13 Distrib 5.7.44, for Linux (x86_64)":                                         "--set-gtid-purged=OFF",
		"mysqldump  Ver 10.19 Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)":                    "--skip-ssl-verify-server-cert",
		"/usr/bin/mariadb-dump from 11.8.3-MariaDB, client 10.19 for debian-linux-gnu (x86_64)":           "--skip-ssl-verify-server-cert",
		"mysqldump from 11.4.2-MariaDB, client 10.19 for Linux (x86_64) # Deprecated program name, use …": "--skip-ssl-verify-server-cert",
	} {
		arguments := clientOf("x", version).arguments("/dev/fd/3", "-db", true)
		if arguments[0] != "--defaults-file=/dev/fd/3" || !slices.Contains(arguments, "--no-tablespaces") || !slices.Equal(arguments[len(arguments)-2:], []string{"--", "-db"}) {
			t.Errorf("%s: %q", version, arguments)
		}
		at := slices.Index(arguments, "--comments")
		if got := strings.Join(arguments[at+2:len(arguments)-2], " "); got != want {
			t.Errorf("%s: has %q, want %q", version, got, want)
		}
	}
}

// TestBothDumpPrograms: whichever is installed, the dump is the same.
func TestBothDumpPrograms(t *testing.T) {
	_, o := newSite(t, stand.SiteOptions{})
	o.Components = []string{Database}
	sums := map[string]bool{}
	for _, program := range dumpPrograms {
		o.programs = []string{"/nowhere/" + program, program}
		m := create(t, o)
		file, _ := m.File(databaseName)
		sums[file.ContentSHA256] = true
		if m.Database.Client != program {
			t.Errorf("dumped with %s, not %s", m.Database.Client, program)
		}
	}
	if len(sums) != 1 {
		t.Errorf("the dumps differ: %v", sums)
	}
	o.programs = []string{"/nowhere/mariadb-dump"}
	var refused *RefusedError
	if err := fails(t, o, noRun{}); !errors.As(err, &refused) || !strings.Contains(err.Error(), "mariadb-client") {
		t.Errorf("without a program: %v", err)
	}
}
