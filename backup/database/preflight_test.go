package database

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

func TestPreflightFindsWhatIsInTheWay(t *testing.T) {
	db, s := server(t)
	schema(t, db, s, "front", "CREATE TABLE mdl_a (id INT PRIMARY KEY)")
	for text, w := range map[string]Wants{
		"max_allowed_packet":            {LongestStatement: 100 << 20},
		"does not know the collation":   {Charset: "utf8mb4", Collation: "utf8mb4_0900_ai_ci"},
		"newer than this server":        {Kind: "MariaDB", Version: "99.1.0-MariaDB"},
		"it needs some|MB free":         {Bytes: 1 << 60},
		"schemas of this restore exist": {ID: "taken"},
	} {
		w.DB, w.Binlog = "front", true
		if w.ID == "" {
			w.ID = "1"
		} else {
			run(t, db, "CREATE DATABASE "+StagedName("front", w.ID))
		}
		problems, err := s.Preflight(t.Context(), w)
		first, second, _ := strings.Cut(text, "|")
		if err != nil || !fatalAbout(problems, first) && (second == "" || !fatalAbout(problems, second)) {
			t.Errorf("%s is not told: %v %v", text, problems, err)
		}
		if w.ID == "taken" {
			run(t, db, "DROP DATABASE "+StagedName("front", w.ID))
		}
	}
	problems, err := s.Preflight(t.Context(), Wants{DB: "front", ID: "1", Kind: "MariaDB", Version: s.Version, Charset: "utf8mb4", Collation: "utf8mb4_unicode_ci", Bytes: 1000, LongestStatement: 1 << 20})
	if err != nil || len(problems) > 0 {
		t.Errorf("problems where there are none: %v %v", problems, err)
	}
	wantNothingStaged(t, s, "front")
}

// TestGrantsAreEnough pastes what Preflight prints, and then restores with that account.
func TestGrantsAreEnough(t *testing.T) {
	db, root := server(t)
	schema(t, db, root, "rich", rich...)
	want := picture(t, root, "rich")
	backup := dump(t, db, "rich")
	run(t, db, "CREATE USER ops@'127.0.0.1' IDENTIFIED BY 'secret'")
	t.Cleanup(func() { _ = db.Exec(context.Background(), "DROP USER ops@'127.0.0.1'") })
	s := asOps(t, db)
	w := Wants{DB: "rich", ID: "1"}
	for range 4 { // what is printed may have to be pasted in turns
		problems, err := s.Preflight(t.Context(), w)
		if err != nil {
			t.Fatal(err)
		}
		pasted := false
		for _, p := range problems {
			for statement := range strings.SplitSeq(p.SQL, "\n") {
				if statement != "" {
					run(t, db, strings.TrimSuffix(statement, ";"))
					pasted = true
				}
			}
		}
		s = asOps(t, db) // global rights hold for new connections
		if !pasted {
			break
		}
	}
	if problems, err := s.Preflight(t.Context(), w); err != nil || fatalAbout(problems, "") {
		t.Fatalf("what was printed is not enough: %v %v", problems, err)
	}
	o := LoadOptions{Schema: StagedName("rich", "1"), Source: "rich", Live: "rich", Charset: "utf8mb4", Collation: "utf8mb4_unicode_ci", Logger: quiet(t)}
	if err := s.Load(t.Context(), bytes.NewReader(backup), o); err != nil {
		t.Fatal(err)
	}
	x := exchange(t, "rich")
	x.Binlog = false
	if err := s.Exchange(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	same(t, "exchanged", picture(t, root, "rich"), want)
	if err := s.Undo(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	same(t, "undone", picture(t, root, "rich"), want)
}

func asOps(t *testing.T, db *stand.MariaDBServer) *Server {
	t.Helper()
	s, err := Connect(t.Context(), moodle.Login{User: "ops", Password: config.Secret("secret"), Network: "tcp", Address: net.JoinHostPort("127.0.0.1", strconv.Itoa(db.Port))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestLocksOfOthersAreNamed(t *testing.T) {
	t.Parallel()
	db, s := server(t)
	schema(t, db, s, "held", "CREATE TABLE mdl_a (id INT PRIMARY KEY)")
	load(t, s, "held", bytes.NewReader(dump(t, db, "held")))
	pool := openAs(t, db.RootDSN("held"))
	transaction, err := pool.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var id int
	if err := transaction.QueryRowContext(t.Context(), "SELECT CONNECTION_ID() FROM (SELECT 1) AS x LEFT JOIN mdl_a ON TRUE").Scan(&id); err != nil {
		t.Fatal(err)
	}
	x := exchange(t, "held")
	err = s.Exchange(t.Context(), x)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("connection %d of", id)) {
		t.Errorf("an administrator's open transaction is not named: %v", err)
	}
	wantSide(t, s, x, SideOld)
	if err := transaction.Rollback(); err != nil {
		t.Errorf("it was ended, though it is not the site's: %v", err)
	}
	if err := s.Exchange(t.Context(), x); err != nil {
		t.Error(err)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ä", 64)
	for _, name := range []string{StagedName(long, "20260102T030405Z"), OldName(long, "20260102T030405Z")} {
		if n := len([]rune(name)); n != 64 {
			t.Errorf("%s has %d characters", name, n)
		}
		if err := onlyScratch(name); err != nil || !scratchOf(name, long) || scratchOf(name, "moodle") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"moodle", "mysql", "moodle_mxp_", "_mxp_1", "moodle_mxp_1; DROP", "moodle_mxq_1"} {
		if onlyScratch(name) == nil {
			t.Errorf("%q might be dropped", name)
		}
	}
}
