package database

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// many makes a schema of so many small tables, each with the word in it.
func many(count int, said string) (statements []string) {
	for i := range count {
		statements = append(statements, fmt.Sprintf("CREATE TABLE mdl_t%d (id INT PRIMARY KEY, v VARCHAR(10))", i), fmt.Sprintf("INSERT INTO mdl_t%d VALUES (1, '%s')", i, said))
	}
	return append(statements, "CREATE TRIGGER mdl_g BEFORE INSERT ON mdl_t0 FOR EACH ROW SET @x = '"+said+"'", "CREATE VIEW mdl_v AS SELECT v FROM mdl_t1")
}

// TestServerKilledDuringExchange kills the server at random moments. The site is whole on either side, and
// both can be reached from there.
func TestServerKilledDuringExchange(t *testing.T) {
	t.Parallel()
	for range 3 {
		if killDuringExchange(t, 25, 10) {
			return
		}
	}
	t.Error("the server could not be started again three times")
}

// ownFault is what MariaDB 10.11 now and then finds, when it was killed in the middle of dropping and renaming tables, in
// the log that it wrote itself, and then does not start any more. No client can prevent that.
const ownFault = "InnoDB: Missing FILE_CREATE, FILE_DELETE or FILE_MODIFY before FILE_CHECKPOINT"

// killDuringExchange says whether the server came back every time.
func killDuringExchange(t *testing.T, tables, rounds int) bool {
	t.Helper()
	db := own(t)
	s := connected(t, db)
	schema(t, db, s, "killed", many(tables, "then")...)
	then := picture(t, s, "killed")
	backup := dump(t, db, "killed")
	in(t, s, "killed", "DROP TRIGGER mdl_g", "DROP VIEW mdl_v")
	for i := range tables {
		in(t, s, "killed", fmt.Sprintf("DROP TABLE mdl_t%d", i))
	}
	in(t, s, "killed", many(tables, "now")...)
	now := picture(t, s, "killed")
	load(t, s, "killed", bytes.NewReader(backup))
	x := exchange(t, "killed")
	begun := time.Now()
	if err := s.Exchange(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	took := time.Since(begun)
	if err := s.Undo(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	sides := map[Side]int{}
	for round := range rounds {
		ended := make(chan error, 1)
		go func() { ended <- s.Exchange(t.Context(), x) }()
		time.Sleep(rand.N(took)) // a moment of chance, not a wait for anything
		db.Kill()
		<-ended
		err := db.Start()
		if err != nil && strings.Contains(err.Error(), ownFault) {
			t.Logf("round %d: the server's own crash recovery failed; once more with another server", round)
			return false
		}
		if err != nil {
			t.Fatal(err)
		}
		side, err := s.Side(t.Context(), x)
		if err != nil || side == SideNone {
			t.Fatalf("round %d: side %d, %v", round, side, err)
		}
		sides[side]++
		if round%2 == 0 {
			if err := s.Exchange(t.Context(), x); err != nil {
				t.Fatalf("round %d, finish from side %d: %v", round, side, err)
			}
			same(t, "finished", picture(t, s, "killed"), then)
		}
		if err := s.Undo(t.Context(), x); err != nil {
			t.Fatalf("round %d, undo from side %d: %v", round, side, err)
		}
		same(t, "undone", picture(t, s, "killed"), now)
	}
	t.Logf("killed on the old side %d times, on the new %d times, within %s", sides[SideOld], sides[SideNew], took)
	return true
}

func TestReplicaFollows(t *testing.T) {
	t.Parallel()
	source := own(t, "--log-bin=bin", "--server-id=1", "--binlog-format=MIXED")
	replica := own(t, "--server-id=2", "--report-host=replica.example", "--log-bin=bin", "--log-slave-updates")
	run(t, source, "CREATE USER r@'127.0.0.1' IDENTIFIED BY 'secret'", "GRANT REPLICATION SLAVE ON *.* TO r@'127.0.0.1'")
	run(t, replica, fmt.Sprintf("CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=%d, MASTER_USER='r', MASTER_PASSWORD='secret', MASTER_USE_GTID=slave_pos", source.Port), "START SLAVE")
	s, follower := connected(t, source), connected(t, replica)
	schema(t, source, s, "rich", rich...)
	backup := dump(t, source, "rich")
	in(t, s, "rich", "DROP TRIGGER mdl_t0", "INSERT INTO mdl_log VALUES (5, 'since')")
	poll(t, "the replica to attach", func() bool {
		replicas, err := s.Replicas(t.Context())
		return err == nil && len(replicas) == 1 && strings.HasPrefix(replicas[0], "replica.example:")
	})
	problems, err := s.Preflight(t.Context(), Wants{DB: "rich", ID: "1"})
	if err != nil || !fatalAbout(problems, "replicas follow") {
		t.Errorf("a restore without binary log is let through although a replica follows: %v %v", problems, err)
	}
	load(t, s, "rich", bytes.NewReader(backup))
	if err := s.Exchange(t.Context(), exchange(t, "rich")); err != nil {
		t.Fatal(err)
	}
	var position string
	if err := s.pool.QueryRowContext(t.Context(), "SELECT @@GLOBAL.gtid_binlog_pos").Scan(&position); err != nil {
		t.Fatal(err)
	}
	var reached int
	if err := follower.pool.QueryRowContext(t.Context(), "SELECT MASTER_GTID_WAIT(?, 60)", position).Scan(&reached); err != nil || reached != 0 {
		t.Fatalf("the replica does not follow: %d %v", reached, err)
	}
	want := picture(t, s, "rich")
	for name, text := range want { // a replica runs no events
		want[name] = strings.Replace(text, " ENABLE COMMENT", " DISABLE ON SLAVE COMMENT", 1)
	}
	same(t, "on the replica", picture(t, follower, "rich"), want)
}

func poll(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func fatalAbout(problems []Problem, text string) bool {
	for _, p := range problems {
		if p.Fatal && strings.Contains(p.Text, text) {
			return true
		}
	}
	return false
}

// bulkyDump is a dump of one table with so many statements of half a megabyte.
func bulkyDump(statements int) io.Reader {
	var out strings.Builder
	out.WriteString("CREATE TABLE `mdl_big` (`id` int NOT NULL, `a` int, `b` varchar(300) NOT NULL, PRIMARY KEY (`id`), KEY `a` (`a`), UNIQUE KEY `u` (`b`,`id`), KEY `b` (`b`(10))) ENGINE=InnoDB ROW_FORMAT=COMPRESSED;\n")
	for i := range statements {
		out.WriteString("INSERT INTO `mdl_big` VALUES ")
		for n := range 1800 {
			if n > 0 {
				out.WriteByte(',')
			}
			fmt.Fprintf(&out, "(%d,%d,'%x%0280d')", i*1800+n, rand.IntN(1000), rand.Uint64(), n)
		}
		out.WriteString(";\n")
	}
	return strings.NewReader(out.String() + footer)
}

func wantNothingStaged(t testing.TB, s *Server, db string) {
	t.Helper()
	if left, err := s.Leftovers(context.WithoutCancel(t.Context()), db); err != nil || len(left) > 0 {
		t.Errorf("left over: %v %v", left, err)
	}
}

func TestIndexesOfBigTables(t *testing.T) {
	db, s := server(t)
	schema(t, db, s, "big")
	o := load(t, s, "big", bulkyDump(6))
	lines, err := definition(t.Context(), s.pool, o.Schema, "mdl_big")
	if err != nil || !strings.Contains(strings.Join(lines, ""), "  UNIQUE KEY `u` (`b`,`id`),  KEY `a` (`a`),  KEY `b` (`b`(10))") {
		t.Errorf("%v %v", lines, err)
	}
	if rows, err := s.rows(t.Context(), o.Schema); err != nil || rows["mdl_big"] != 6*1800 {
		t.Errorf("%v %v", rows, err)
	}
}

func TestKilledConnectionDuringLoad(t *testing.T) {
	db := own(t)
	s := connected(t, db)
	schema(t, db, s, "cut")
	killed := false
	o := LoadOptions{Schema: StagedName("cut", "1"), Binlog: true, Logger: quiet(t), Progress: func(int64) {
		if ids, err := column(t.Context(), s.pool, "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = 'cut_mxp_1' LIMIT 1"); err == nil && len(ids) == 1 {
			_, err := s.pool.ExecContext(t.Context(), "KILL "+ids[0])
			killed = killed || err == nil
		}
	}}
	if err := s.Load(t.Context(), bulkyDump(30), o); err == nil || !killed {
		t.Errorf("a load whose connections were killed (%t) ended with %v", killed, err)
	}
	wantNothingStaged(t, s, "cut")
}

func TestInterruptedLoad(t *testing.T) {
	db, s := server(t)
	schema(t, db, s, "stop")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var read int64
	o := LoadOptions{Schema: StagedName("stop", "1"), Binlog: true, Logger: quiet(t), Progress: func(n int64) {
		if read += n; read > 4<<20 {
			cancel()
		}
	}}
	if err := s.Load(ctx, bulkyDump(30), o); err == nil || !strings.Contains(err.Error(), context.Canceled.Error()) {
		t.Errorf("an interrupted load ended with %v", err)
	}
	wantNothingStaged(t, s, "stop")
}

func TestServerThatRefuses(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("mounting a small disk needs root")
	}
	stand.Need(t, stand.MariaDB)
	dir := stand.TempDir(t)
	if out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size=100m,mode=755", "tmpfs", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() { _ = exec.CommandContext(context.Background(), "umount", "-l", dir).Run() })
	db, err := stand.StartMariaDB(context.Background(), dir, stand.MariaDBOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	s := connected(t, db)
	schema(t, db, s, "full", "CREATE TABLE mdl_a (id INT PRIMARY KEY)")
	o := LoadOptions{Schema: StagedName("full", "1"), Binlog: true, Logger: quiet(t)}
	if err := s.Load(t.Context(), bulkyDump(300), o); err == nil || !strings.Contains(err.Error(), "disk is full") {
		t.Errorf("on a full disk: %v", err)
	}
	wantNothingStaged(t, s, "full")
	problems, err := s.Preflight(t.Context(), Wants{DB: "full", ID: "1", Bytes: 1 << 30, Binlog: true})
	if err != nil || !fatalAbout(problems, "MB free") {
		t.Errorf("a gigabyte is let in: %v %v", problems, err)
	}
	run(t, db, "SET GLOBAL read_only = 1")
	problems, err = s.Preflight(t.Context(), Wants{DB: "full", ID: "1", Binlog: true})
	if err != nil || !fatalAbout(problems, "read_only") {
		t.Errorf("a server that is read only is let through: %v %v", problems, err)
	}
}

// TestForeignKeyOntoABigTable: the index that a foreign key of another table needs may be built anew, and
// the key holds afterwards.
func TestForeignKeyOntoABigTable(t *testing.T) {
	db, s := server(t)
	for _, child := range []string{"mdl_a_child", "mdl_z_child"} { // dumped before and after the big table
		schema(t, db, s, child)
		text, err := io.ReadAll(bulkyDump(3))
		if err != nil {
			t.Fatal(err)
		}
		definition := "CREATE TABLE `" + child + "` (`v` int, KEY `v` (`v`), CONSTRAINT `c` FOREIGN KEY (`v`) REFERENCES `mdl_big` (`a`));\n"
		whole := definition + string(text)
		if child > "mdl_big" {
			whole = strings.Replace(string(text), footer, definition+footer, 1)
		}
		load(t, s, child, strings.NewReader(whole))
		if err := s.Exchange(t.Context(), exchange(t, child)); err != nil {
			t.Fatal(err)
		}
		in(t, s, child, "INSERT INTO "+child+" SELECT a FROM mdl_big LIMIT 1")
		if err := db.Exec(t.Context(), "INSERT INTO "+child+"."+child+" VALUES (-1)"); !hasNumber(err, 1452) {
			t.Errorf("%s: the foreign key does not hold: %v", child, err)
		}
	}
}
