package database

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/internal/dbserver"
)

// two makes a live schema that differs from its own backup, loads the backup beside it, and returns how it
// looked at the time of the backup and how it looks now.
func two(t *testing.T, name string) (*Server, map[string]string, map[string]string) {
	t.Helper()
	db, s := server(t)
	schema(t, db, s, name, "CREATE TABLE mdl_a (id INT PRIMARY KEY, v TEXT)", "CREATE TABLE mdl_b (id INT PRIMARY KEY, a INT, CONSTRAINT f FOREIGN KEY (a) REFERENCES mdl_a (id))",
		"INSERT INTO mdl_a VALUES (1, 'backed up')", "INSERT INTO mdl_b VALUES (1, 1)", "CREATE TRIGGER mdl_t BEFORE INSERT ON mdl_a FOR EACH ROW SET NEW.v = 'then'",
		"CREATE VIEW mdl_v AS SELECT 1 AS then_", "CREATE PROCEDURE mdl_p() SELECT 'then'", "CREATE EVENT mdl_e ON SCHEDULE EVERY 1 DAY STARTS '2030-01-01' DO SELECT 'then'")
	before := picture(t, s, name)
	backup := dump(t, db, name)
	in(t, s, name, "INSERT INTO mdl_a VALUES (2, 'since')", "CREATE TABLE mdl_plugin (id INT PRIMARY KEY)", "DROP TRIGGER mdl_t", "DROP VIEW mdl_v", "DROP PROCEDURE mdl_p", "DROP EVENT mdl_e",
		"CREATE TRIGGER mdl_u AFTER DELETE ON mdl_b FOR EACH ROW SET @x = 1", "CREATE VIEW mdl_v AS SELECT id AS now_ FROM mdl_a", "CREATE FUNCTION mdl_f() RETURNS INT RETURN 5",
		"CREATE EVENT mdl_f ON SCHEDULE EVERY 2 DAY STARTS '2031-01-01' DISABLE DO SELECT 'now'", "ALTER DATABASE "+dbserver.Quote(name)+" CHARACTER SET latin1")
	load(t, s, name, bytes.NewReader(backup))
	return s, before, picture(t, s, name)
}

func wantSide(t testing.TB, s *Server, x Exchange, want Side) {
	t.Helper()
	if got, err := s.Side(t.Context(), x); err != nil || got != want {
		t.Fatalf("the side is %d (%v), want %d", got, err, want)
	}
}

func TestExchangeAndBack(t *testing.T) {
	t.Parallel()
	s, before, now := two(t, "swap")
	x := exchange(t, "swap")
	wantSide(t, s, x, SideOld)
	for range 2 { // there, and there again after having been undone
		if err := s.Exchange(t.Context(), x); err != nil {
			t.Fatal(err)
		}
		wantSide(t, s, x, SideNew)
		same(t, "exchanged", picture(t, s, "swap"), before)
		in(t, s, "swap", "CREATE TABLE mdl_made_since (id INT PRIMARY KEY)", "CREATE VIEW mdl_w AS SELECT 1 AS one")
		if err := s.Undo(t.Context(), x); err != nil {
			t.Fatal(err)
		}
		wantSide(t, s, x, SideOld)
		same(t, "undone", picture(t, s, "swap"), now)
		in(t, s, StagedName("swap", "1"), "DROP TABLE mdl_made_since")
	}
	if err := s.Exchange(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	left, err := s.Leftovers(t.Context(), "swap")
	if err != nil || len(left) != 2 {
		t.Errorf("left over: %v %v", left, err)
	}
	for _, name := range left {
		if err := s.Discard(t.Context(), name, true); err != nil {
			t.Error(err)
		}
	}
	wantSide(t, s, x, SideNone)
	same(t, "discarded", picture(t, s, "swap"), before)
	if err := s.Discard(t.Context(), "swap", true); err == nil {
		t.Error("the live schema was discarded")
	}
}

// TestInterruptedExchange stops before the rename, when triggers are gone, and after it, when none are there yet.
func TestInterruptedExchange(t *testing.T) {
	s, before, now := two(t, "torn")
	x := exchange(t, "torn")
	conn, err := s.conn(t.Context(), true, exchangeSettings...)
	if err != nil {
		t.Fatal(err)
	}
	defer drop(conn)
	e := exchanger{s, conn, x}
	if err := makeSchema(t.Context(), conn, x.old(), "", ""); err != nil {
		t.Fatal(err)
	}
	plan, err := e.plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	prepare := func() {
		if err := e.save(t.Context(), plan); err != nil {
			t.Fatal(err)
		}
		if err := dropObjects(t.Context(), conn, "torn", x.Scope); err != nil {
			t.Fatal(err)
		}
	}
	prepare()
	prepare() // saving again must not forget what is dropped by now
	if err := s.Discard(t.Context(), x.staged(), true); err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("what is needed to undo was discarded: %v", err)
	}
	if err := s.Undo(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	same(t, "undone before the rename", picture(t, s, "torn"), now)
	prepare()
	if _, err := conn.ExecContext(t.Context(), plan.statement()); err != nil {
		t.Fatal(err)
	}
	wantSide(t, s, x, SideNew)
	if err := s.Discard(t.Context(), x.old(), true); err == nil || !strings.Contains(err.Error(), "interrupted") {
		t.Errorf("what is needed to finish was discarded: %v", err)
	}
	if err := s.Undo(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	same(t, "undone after the rename", picture(t, s, "torn"), now)
	prepare()
	if _, err := conn.ExecContext(t.Context(), plan.statement()); err != nil {
		t.Fatal(err)
	}
	if err := s.Exchange(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	same(t, "finished", picture(t, s, "torn"), before)
}

func TestOpenTransactionsAreEnded(t *testing.T) {
	t.Parallel()
	db, _ := server(t)
	s, before, _ := two(t, "busy")
	if err := db.CreateAccount(t.Context(), "lms", "secret", "busy", "ALL"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Exec(context.Background(), "DROP USER lms@localhost, lms@'127.0.0.1'") })
	pool := openAs(t, db.UserDSN("lms", "secret", "busy"))
	transaction, err := pool.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := transaction.ExecContext(t.Context(), "INSERT INTO mdl_plugin VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	if err := s.Exchange(t.Context(), exchange(t, "busy")); err != nil {
		t.Fatal(err)
	}
	same(t, "exchanged", picture(t, s, "busy"), before)
	if err := transaction.Commit(); err == nil {
		t.Error("the transaction that was in the way is still there")
	}
}

func TestSharedSchema(t *testing.T) {
	db, s := server(t)
	var setup []string
	for _, prefix := range []string{"mdl_", "mdl_two_"} {
		for _, table := range siteTables {
			setup = append(setup, "CREATE TABLE "+prefix+table+" (id INT PRIMARY KEY, v TEXT)", "INSERT INTO "+prefix+table+" VALUES (1, 'then')")
		}
	}
	schema(t, db, s, "both", append(setup, "CREATE TABLE report (id INT PRIMARY KEY)", "CREATE TABLE lost (id INT PRIMARY KEY)", "CREATE TRIGGER other BEFORE INSERT ON mdl_two_user FOR EACH ROW SET @x = 1",
		"CREATE VIEW seen AS SELECT * FROM mdl_user", "CREATE VIEW gone AS SELECT * FROM mdl_two_user")...)
	backup := dump(t, db, "both")
	in(t, s, "both", "UPDATE mdl_user SET v = 'now'", "UPDATE mdl_two_user SET v = 'now'", "INSERT INTO report VALUES (7)", "DROP TABLE lost", "DROP VIEW gone")
	scope, err := s.Scope(t.Context(), "both", "mdl_", nil)
	if err != nil || !scope.Shared() || len(scope.Kept()) != len(siteTables)+1 {
		t.Fatalf("kept are %v (%v)", scope.Kept(), err)
	}
	before := picture(t, s, "both")
	o := LoadOptions{Schema: StagedName("both", "1"), Source: "both", Live: "both", Scope: scope, Binlog: true, Logger: quiet(t)}
	if err := s.Load(t.Context(), bytes.NewReader(backup), o); err != nil {
		t.Fatal(err)
	}
	x := exchange(t, "both")
	x.Scope = scope
	if err := s.Exchange(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]string{
		"SELECT v FROM both.mdl_user": "then", "SELECT v FROM both.seen": "then", "SELECT v FROM both.mdl_two_user": "now",
		"SELECT id FROM both.report": "7", "SELECT COUNT(*) FROM both.lost": "0", "SELECT v FROM both.gone": "now",
		"SELECT COUNT(*) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA='both'": "1",
	} {
		query = strings.ReplaceAll(query, "both.", "`both`.")
		if got, err := column(t.Context(), s.pool, query); err != nil || strings.Join(got, ",") != want {
			t.Errorf("%s: %v (%v), want %s", query, got, err, want)
		}
	}
	if err := s.Undo(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	delete(before, "none")
	after := picture(t, s, "both")
	delete(after, "VIEW gone") // made, and of nobody known
	same(t, "undone", after, before)
}

func TestForeignKeyAcrossSitesIsRefused(t *testing.T) {
	db, s := server(t)
	schema(t, db, s, "tied", "CREATE TABLE mdl_a (id INT PRIMARY KEY)", "CREATE TABLE report (id INT PRIMARY KEY, a INT, FOREIGN KEY (a) REFERENCES mdl_a (id))")
	backup := dump(t, db, "tied")
	scope, err := s.Scope(t.Context(), "tied", "mdl_", nil)
	if err != nil {
		t.Fatal(err)
	}
	o := LoadOptions{Schema: StagedName("tied", "1"), Source: "tied", Live: "tied", Scope: scope, Binlog: true, Logger: quiet(t)}
	if err := s.Load(t.Context(), bytes.NewReader(backup), o); err != nil {
		t.Fatal(err)
	}
	x := exchange(t, "tied")
	x.Scope = scope
	if err := s.Exchange(t.Context(), x); err == nil || !strings.Contains(err.Error(), "foreign key") {
		t.Errorf("exchanged although report refers to mdl_a: %v", err)
	}
}

func TestBareServer(t *testing.T) {
	db, s := server(t)
	schema(t, db, s, "bare", "CREATE TABLE mdl_a (id INT PRIMARY KEY)", "CREATE DEFINER=nobody@nowhere VIEW mdl_v AS SELECT 1 AS x", "CREATE TRIGGER mdl_t BEFORE INSERT ON mdl_a FOR EACH ROW SET @x = 1")
	backup := dump(t, db, "bare")
	run(t, db, "DROP DATABASE bare")
	load(t, s, "bare", bytes.NewReader(backup))
	if err := s.Exchange(t.Context(), exchange(t, "bare")); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(picture(t, s, "bare"))
	if !strings.Contains(got, "table mdl_a") || !strings.Contains(got, "TRIGGER mdl_t") || !strings.Contains(got, "DEFINER=`"+db.RootUser()+"`@`localhost` SQL SECURITY DEFINER VIEW `mdl_v`") {
		t.Error(got)
	}
}
