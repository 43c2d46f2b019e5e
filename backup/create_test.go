package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// TestRestoreByHand backs a real 4.5 site up and brings it back by typing what RESTORE.txt says.
func TestRestoreByHand(t *testing.T) {
	t.Parallel()
	site, o := newSite(t, stand.SiteOptions{Fixture: true})
	hostile(t, site)
	db := database(t)
	inDatabase(t, site,
		"CREATE VIEW v AS SELECT id FROM "+quoteName(site.Prefix+"user"),
		"CREATE TRIGGER tr BEFORE INSERT ON "+quoteName(site.Prefix+"config_log")+" FOR EACH ROW SET NEW.timemodified = NEW.timemodified",
		"CREATE PROCEDURE p() SELECT 1", "CREATE FUNCTION f() RETURNS INT DETERMINISTIC RETURN 1", "CREATE EVENT e ON SCHEDULE EVERY 1 YEAR DO SELECT 1",
		"CREATE TABLE odd (id INT PRIMARY KEY, t LONGTEXT, b LONGBLOB, g INT AS (id+1) VIRTUAL)",
		`INSERT INTO odd (id, t, b) VALUES (1, 'quote\' back\\ new\nline nul\0 emoji 🎓 ;\n-- Dump completed\n', x'00ff27225c0a'), (2, NULL, NULL)`,
	)
	manifest := create(t, o)
	if !manifest.Complete() || manifest.Filedir.Missing != 0 || manifest.Filedir.Blobs == 0 {
		t.Fatalf("not a complete backup: %+v", manifest.Filedir)
	}
	if d := manifest.Database; d.Views != 1 || d.Triggers != 1 || d.Routines != 2 || d.Events != 1 || d.Rows["odd"] != 2 {
		t.Errorf("objects are not counted right: %+v", d)
	}
	report := intact(t, verifyOptions(t, o))
	if report.Blobs != manifest.Filedir.Blobs || report.ReadFiles != manifest.Filedir.Blobs+int64(len(manifest.Files)) || report.Backups != 1 {
		t.Errorf("verified: %+v", report)
	}
	if listed, err := Show(t.Context(), o.Config.Dir, "lms", Latest); err != nil || !listed.Verified {
		t.Errorf("not known as verified: %+v, %v", listed, err)
	}
	checkModes(t, SiteDir(o.Config.Dir, "lms"))

	place := stand.TempDir(t)
	restored := site.Database + "_r"
	text := read(t, filepath.Join(o.Config.Dir, "lms", manifest.ID, restoreName))
	script := "set -eu\n" + commands(text)
	for was, now := range map[string]string{
		"CODE=" + quoteShell(site.CodeDir): "CODE=" + quoteShell(place+"/code's"), "DATAROOT=" + quoteShell(site.Dataroot): "DATAROOT=" + quoteShell(place+"/data"),
		"FILEDIR=" + quoteShell(site.Dataroot+"/filedir"): "FILEDIR=" + quoteShell(place+"/data/filedir"), "DATABASE=" + quoteShell(site.Database): "DATABASE=" + quoteShell(restored),
	} {
		if strings.Count(script, was+"\n") != 1 {
			t.Fatalf("RESTORE.txt does not say %s:\n%s", was, text)
		}
		script = strings.Replace(script, was+"\n", now+"\n", 1)
	}
	shell := exec.CommandContext(t.Context(), "sh", "-c", script)
	// `mariadb` alone must get in: to this server, it does by an option file of the administrator's.
	must(t, os.WriteFile(filepath.Join(place, ".my.cnf"), []byte("[client]\nsocket="+db.Socket+"\nuser="+db.RootUser()+"\n"), 0o600))
	shell.Env = append(os.Environ(), "HOME="+place)
	if output, err := shell.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, output, script)
	}
	t.Cleanup(func() { _ = db.Exec(context.Background(), "DROP DATABASE "+quoteName(restored)) })
	sameTrees(t, site.CodeDir, place+"/code's", nil)
	sameTrees(t, site.Dataroot, place+"/data", []string{"cache", "localcache", "temp", "sessions", "trashdir", "lock", "climaintenance.html"})
	sameDatabases(t, site.Database, restored, manifest)
	account := read(t, filepath.Join(o.Config.Dir, "lms", manifest.ID+"-config", "database-account.sql"))
	if !strings.Contains(account, "CREATE USER IF NOT EXISTS `"+site.User+"`@`localhost`") || !strings.Contains(account, "GRANT ALL PRIVILEGES ON `"+site.Database+"`.*") {
		t.Errorf("the account is not brought back by\n%s", account)
	}
}

// inDatabase runs statements in the site's own database.
func inDatabase(t testing.TB, site *stand.Site, statements ...string) {
	t.Helper()
	pool, err := sql.Open("mysql", database(t).RootDSN(site.Database))
	must(t, err)
	defer pool.Close()
	pool.SetMaxOpenConns(1)
	for _, statement := range append([]string{"SET NAMES utf8mb4"}, statements...) {
		if _, err := pool.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// hostile puts names and kinds of files into a site that a careless archive breaks on.
func hostile(t *testing.T, site *stand.Site) {
	t.Helper()
	data := site.Dataroot
	long := strings.Repeat("long-", 45)
	for name, mode := range map[string]fs.FileMode{
		"repository/new\nline": 0o640, "repository/\xff\xfe not utf-8": 0o600, "repository/-rf *": 0o644, "repository/cache/plugin data": 0o640,
		"repository/" + long + "/" + long: 0o640, "repository/日本": 0o640, "cache/x": 0o640, "temp/x": 0o640, "sessions/sess_x": 0o600,
		"localcache/x": 0o600, "lock/x": 0o600, "trashdir/warning.txt": 0o600, "climaintenance.html": 0o644, "filedir/warning.txt": 0o644,
		"secret/key/sodium.key": 0o400, "repository/.mxp-not-a-staging-tree-of-ours": 0o640,
	} {
		path := filepath.Join(data, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o2770); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(name), mode); err != nil {
			t.Fatal(err)
		}
	}
	must(t, os.Remove(filepath.Join(data, "repository/.mxp-not-a-staging-tree-of-ours")))
	must(t, os.Link(filepath.Join(data, "repository/日本"), filepath.Join(data, "repository/hard link")))
	must(t, os.Symlink("/etc/passwd", filepath.Join(data, "repository/link out")))
	must(t, os.Symlink("nowhere", filepath.Join(site.CodeDir, "dangling")))
	must(t, os.MkdirAll(filepath.Join(site.CodeDir, "cache/classes"), 0o755))
	must(t, os.WriteFile(filepath.Join(site.CodeDir, "cache/classes/store.php"), []byte("<?php"), 0o644))
	must(t, os.Chmod(filepath.Join(data, "repository"), 0o2775))
	must(t, os.WriteFile(filepath.Join(site.CodeDir, "big"), bytes.Repeat([]byte("0123456789"), 200_000), 0o644))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// commands are the indented lines of a text.
func commands(text string) string {
	var out strings.Builder
	for line := range strings.SplitSeq(text, "\n") {
		if command, found := strings.CutPrefix(line, "    "); found {
			out.WriteString(command + "\n")
		}
	}
	return out.String()
}

func read(t testing.TB, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	must(t, err)
	return string(content)
}

// describeTree is everything about a tree that a restore must bring back.
func describeTree(t testing.TB, dir string, without []string) (lines []string) {
	t.Helper()
	inodes := map[uint64]string{}
	must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		top, rest, below := strings.Cut(name, "/")
		if slices.Contains(without, top) && (below || !entry.IsDir()) {
			return nil
		}
		_ = rest
		info, err := entry.Info()
		if err != nil {
			return err
		}
		status := info.Sys().(*syscall.Stat_t)
		line := fmt.Sprintf("%q %v %d:%d", name, info.Mode(), status.Uid, status.Gid)
		switch {
		case info.Mode().IsRegular():
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			digest := sha256.Sum256(content)
			line += " " + hex.EncodeToString(digest[:])
			if status.Nlink > 1 {
				if inodes[status.Ino] == "" {
					inodes[status.Ino] = name
				}
				line += " = " + inodes[status.Ino]
			}
			// A content file is the same with any time.
			if !strings.HasPrefix(name, "filedir/") {
				line += fmt.Sprint(" ", info.ModTime().Unix())
			}
		case info.Mode()&fs.ModeSymlink != 0:
			target, _ := os.Readlink(path)
			line += " -> " + target
		}
		lines = append(lines, line)
		return nil
	}))
	return lines
}

func sameTrees(t testing.TB, want, got string, without []string) {
	t.Helper()
	a, b := describeTree(t, want, without), describeTree(t, got, without)
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			t.Errorf("%s (%d entries) and %s (%d entries) differ:\n%s\n%s", want, len(a), got, len(b), strings.Join(a[min(i, len(a)):min(i+2, len(a))], "\n"), strings.Join(b[min(i, len(b)):min(i+2, len(b))], "\n"))
			return
		}
	}
	if len(a) < 3 {
		t.Errorf("%s has next to nothing in it", want)
	}
}

// sameDatabases compares every table by its checksum and the counts with the manifest's.
func sameDatabases(t testing.TB, want, got string, manifest *Manifest) {
	t.Helper()
	pool, err := sql.Open("mysql", database(t).RootDSN(want))
	must(t, err)
	defer pool.Close()
	for table, rows := range manifest.Database.Rows {
		sums := [2]string{}
		for i, schema := range []string{want, got} {
			var name string
			var count int64
			must(t, pool.QueryRow("CHECKSUM TABLE "+quoteName(schema)+"."+quoteName(table)).Scan(&name, &sums[i]))
			must(t, pool.QueryRow("SELECT COUNT(*) FROM "+quoteName(schema)+"."+quoteName(table)).Scan(&count))
			if count != rows {
				t.Errorf("%s.%s has %d rows, the manifest says %d", schema, table, count, rows)
			}
		}
		if sums[0] != sums[1] {
			t.Errorf("table %s differs", table)
		}
	}
	if len(manifest.Database.Rows) < 10 {
		t.Errorf("only %d tables were compared", len(manifest.Database.Rows))
	}
}

// checkModes: nobody but the owner can look into a backup.
func checkModes(t testing.TB, dir string) {
	t.Helper()
	must(t, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	}))
}
