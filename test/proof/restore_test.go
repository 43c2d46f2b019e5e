package proof_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// restoreKills are attacks on restores, by the value of PROOF.
var restoreKills = map[string]int{"": 2, "bounded": 8, "full": 100}

// restores bring the site back. Before each of them the site has moved on.
var restores = &victim{name: "restore", words: []string{"restore", "--yes"}}

// recoveries end a restore that was broken off, and then find no backup of that name, so that what they leave can be seen.
var recoveries = &victim{name: "restore", words: []string{"restore", "--yes", "20010101T000000Z"}}

const noSuchBackup = 10

// restoreKinds are taken one after the other.
var restoreKinds = []kind{killRun, killRun, killServerAnytime, killRun, sigTerm, killRun, killServerAnytime, killRun, sigInt}

// TestRestoreAttacked kills restores, their recoveries and the database server at random moments and steps. The site is
// always that of before or that of the backup, whole and open, or it is closed, and status says how to go on; the next run
// ends what was broken off.
func TestRestoreAttacked(t *testing.T) {
	stand.Need(t, stand.MariaDB, stand.PHP, stand.Zstd)
	wanted, known := restoreKills[os.Getenv("PROOF")]
	if !known {
		t.Fatalf("PROOF is %q; it may be bounded or full", os.Getenv("PROOF"))
	}
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("%d attacks on restores; repeat with -seed=%d", wanted, seed)
	s := startPatient(t, os.Getenv("PROOF") == "full")
	s.random = rand.New(rand.NewPCG(seed, 0))
	s.output(t, "backup", "--config.file="+s.config)
	restored := s.whole(t)
	s.inPeace(t, restores)
	s.discard(t)
	hit := map[string]int{}
	for number := 1; number <= wanted; number++ {
		s.random = rand.New(rand.NewPCG(seed, uint64(number)))
		kind := restoreKinds[(number-1)%len(restoreKinds)]
		name := fmt.Sprintf("%03d %s", number, kind.name)
		if !t.Run(name, func(t *testing.T) { s.surviveRestore(t, number, kind, restored, hit) }) {
			t.Fatalf("%s: the site is as the attack left it; nothing more is tried on it", name)
		}
	}
	for _, what := range slices.Sorted(func(yield func(string) bool) {
		for what := range hit {
			if !yield(what) {
				return
			}
		}
	}) {
		t.Logf("%4d × %s", hit[what], what)
	}
}

// startPatient is a small site with a configuration, or one with the tables of a real one.
func startPatient(t *testing.T, real bool) *site {
	t.Helper()
	s := &site{dir: stand.TempDir(t)}
	var err error
	s.binary, err = stand.ExporterBinary(s.dir)
	must(t, err)
	s.database, err = stand.StartMariaDB(t.Context(), s.dir, stand.MariaDBOptions{})
	must(t, err)
	t.Cleanup(func() { must(t, s.database.Close()) })
	s.Site, err = stand.NewSite(t.Context(), s.dir, s.database, stand.SiteOptions{Name: "lms", Socket: true, Fixture: real})
	must(t, err)
	must(t, os.Mkdir(s.tmp(), 0o700))
	must(t, s.database.Exec(t.Context(), "USE `"+s.Database+"`", "CREATE VIEW `"+s.Database+"`.seen AS SELECT id FROM `"+s.Database+"`.`"+s.Prefix+"course`",
		"CREATE TRIGGER `"+s.Database+"`.trimmed BEFORE INSERT ON `"+s.Database+"`.`"+s.Prefix+"course` FOR EACH ROW SET NEW.fullname = TRIM(NEW.fullname)"))
	s.config = s.configure(t, "moodle-exporter.yml", kept, "")
	return s
}

// surviveRestore is one attack, and what comes after it.
func (s *site) surviveRestore(t *testing.T, number int, kind kind, restored string, hit map[string]int) {
	s.moveOn(t, number)
	before := s.whole(t)
	r := s.attack(t, turn{restores, kind})
	hit["restore "+place(r)]++
	t.Logf("%s %s: %v", kind.name, r.moment, r)
	s.awaitUnlocked(t)
	s.oneOfTwo(t, before, restored)
	if s.random.IntN(3) == 0 {
		second := s.attack(t, turn{recoveries.like(restores), killRun})
		hit["recovery "+place(second)]++
		t.Logf("kill -9 of the recovery %s: %v", second.moment, second)
		s.awaitUnlocked(t)
		s.oneOfTwo(t, before, restored)
	}
	s.recover(t)
	if after := s.whole(t); after != before && after != restored || s.closed(t) {
		t.Fatalf("after the next run the site is neither that of before nor that of the backup, or closed (%v); the run said: %s", s.closed(t), r.output)
	}
	if left, _ := filepath.Glob(s.Dataroot + "/filedir/.mxp-*"); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	if out, err := s.CLI(t.Context(), "upgrade", "--is-pending").CombinedOutput(); err != nil {
		t.Errorf("the site does not start: %v: %s", err, out)
	}
	s.output(t, "restore", "--yes", "--config.file="+s.config)
	if s.whole(t) != restored {
		t.Error("a restore in peace does not bring the backup back")
	}
	s.discard(t)
}

func place(r result) string {
	if _, step, found := strings.Cut(r.moment, "step "); found && r.tenth < 0 {
		return "in step " + step
	}
	return "at a random moment"
}

// like takes the usual time and steps of another victim.
func (v *victim) like(other *victim) *victim {
	v.usual, v.steps = other.usual, other.steps
	return v
}

// oneOfTwo wants the site whole and open, or closed with a word about it.
func (s *site) oneOfTwo(t *testing.T, before, restored string) {
	t.Helper()
	if !s.closed(t) {
		if now := s.whole(t); now != before && now != restored {
			t.Fatalf("the site is open, and neither that of before nor that of the backup; against that of before: %s", difference(before, now))
		}
		return
	}
	command := s.command("status", "--config.file="+s.config)
	out, _ := command.CombinedOutput()
	if command.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), "moodle-exporter restore --site=lms") {
		t.Errorf("the site is closed, and status (exit code %d) does not say how to go on:\n%s", command.ProcessState.ExitCode(), out)
	}
	if backup := s.command("backup", "--config.file="+s.config); backup.Run() == nil || backup.ProcessState.ExitCode() != 12 {
		t.Errorf("a half restored site is backed up: exit code %d", backup.ProcessState.ExitCode())
	}
}

// recover lets the next run end what was broken off.
func (s *site) recover(t *testing.T) {
	t.Helper()
	run := s.command(s.wordsOf(recoveries)...)
	if out, _ := run.CombinedOutput(); run.ProcessState.ExitCode() != noSuchBackup {
		t.Fatalf("the next run does not end it: exit code %d: %s", run.ProcessState.ExitCode(), out)
	}
}

// closed says whether the site is in maintenance mode.
func (s *site) closed(t *testing.T) bool {
	t.Helper()
	_, err := os.Lstat(filepath.Join(s.Dataroot, "climaintenance.html"))
	return err == nil
}

// difference are the lines of two sites that are not in both, the first few.
func difference(before, now string) string {
	var a, b []string
	if json.Unmarshal([]byte(before), &a) != nil || json.Unmarshal([]byte(now), &b) != nil {
		return "not to be told"
	}
	lacks := func(all []string) func(string) bool {
		return func(line string) bool { return slices.Contains(all, line) }
	}
	gone, come := slices.DeleteFunc(slices.Clone(a), lacks(b)), slices.DeleteFunc(b, lacks(a))
	return fmt.Sprintf("gone %q, come %q", gone[:min(len(gone), 5)], come[:min(len(come), 5)])
}

// moveOn changes rows, code and data, so that the site is another one than that of the backup.
func (s *site) moveOn(t *testing.T, number int) {
	t.Helper()
	must(t, s.database.Exec(t.Context(), fmt.Sprintf("UPDATE `%s`.`%scourse` SET fullname = 'changed %d'", s.Database, s.Prefix, number)))
	for _, path := range []string{filepath.Join(s.CodeDir, "new.php"), filepath.Join(s.Dataroot, "lang", "new.txt")} {
		must(t, os.WriteFile(path, fmt.Appendf(nil, "<?php // %d\n", number), 0o640))
		must(t, os.Chown(path, s.Web.UID, s.Web.GID))
	}
}

// discard lets go what restores have kept, and looks whether anything is left.
func (s *site) discard(t *testing.T) {
	t.Helper()
	s.output(t, "restore", "--discard", "--yes", "--config.file="+s.config)
	for _, pattern := range []string{s.dir + "/.mxp-*", s.Dataroot + "/.mxp-*", s.Dataroot + "/filedir/.mxp-*", s.state() + "/restore/*/*"} {
		if left, _ := filepath.Glob(pattern); len(left) > 0 {
			t.Errorf("left over: %v", left)
		}
	}
	db, err := sql.Open("mysql", s.database.RootDSN(""))
	must(t, err)
	defer db.Close()
	var left int
	must(t, db.QueryRowContext(t.Context(), `SELECT (SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE 'lms\_mx%') + (SELECT COUNT(*) FROM mysql.user WHERE User LIKE 'mxp%')`).Scan(&left))
	if left > 0 {
		t.Errorf("%d schemas or accounts are left over", left)
	}
}

// whole is all that makes the site: sums of rows and files, with triggers and views, owners and modes.
func (s *site) whole(t *testing.T) string {
	t.Helper()
	db, err := sql.Open("mysql", s.database.RootDSN(s.Database))
	must(t, err)
	defer db.Close()
	sums := s.column(t, db, "SELECT CONCAT(TABLE_NAME, VIEW_DEFINITION) FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE() UNION SELECT CONCAT(TRIGGER_NAME, ACTION_STATEMENT) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()")
	rows, err := stand.Sums(t.Context(), s.database.RootDSN(s.Database), s.Prefix)
	must(t, err)
	sums = append(sums, strings.Split(rows, "\n")...)
	for _, dir := range []string{s.CodeDir, s.Dataroot} {
		files, err := stand.Listing(dir, stand.ShortLived)
		must(t, err)
		sums = append(sums, strings.Split(files, "\n")...)
	}
	content, err := json.Marshal(sums)
	must(t, err)
	return string(content)
}

func (s *site) column(t *testing.T, db *sql.DB, query string) (values []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var value string
		must(t, rows.Scan(&value))
		values = append(values, value)
	}
	return values
}

// files lists what is in a directory, without caches and what is ours.
