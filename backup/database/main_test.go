package database

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/internal/dbserver"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// One MariaDB serves all tests that do not harm it; it starts with the first of them.
var shared struct {
	once sync.Once
	db   *stand.MariaDBServer
	err  error
	stop []func() error
}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, stop := range slices.Backward(shared.stop) {
		if err := stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
	os.Exit(code)
}

func server(t testing.TB) (*stand.MariaDBServer, *Server) {
	t.Helper()
	stand.Need(t, stand.MariaDB)
	shared.once.Do(func() {
		dir, remove, err := stand.MakeTempDir()
		if shared.err = err; err != nil {
			return
		}
		shared.stop = append(shared.stop, remove)
		if shared.db, shared.err = stand.StartMariaDB(context.Background(), dir, stand.MariaDBOptions{}); shared.err == nil {
			shared.stop = append(shared.stop, shared.db.Close)
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.db, connected(t, shared.db)
}

// own starts a server for one test, which may kill it.
func own(t testing.TB, settings ...string) *stand.MariaDBServer {
	t.Helper()
	stand.Need(t, stand.MariaDB)
	db, err := stand.StartMariaDB(context.Background(), stand.TempDir(t), stand.MariaDBOptions{Settings: settings})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func connected(t testing.TB, db *stand.MariaDBServer) *Server {
	t.Helper()
	s, err := Connect(t.Context(), login(db))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func login(db *stand.MariaDBServer) moodle.Login {
	return moodle.Login{User: db.RootUser(), Network: "unix", Address: db.Socket}
}

// schema makes an empty schema that ends with the test, with all that a restore makes beside it.
func schema(t testing.TB, db *stand.MariaDBServer, s *Server, name string, statements ...string) {
	t.Helper()
	run(t, db, "CREATE DATABASE "+dbserver.Quote(name)+" CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci")
	t.Cleanup(func() {
		left, err := s.Leftovers(context.Background(), name)
		if err != nil {
			return // the server is gone
		}
		for _, schema := range append(left, name) {
			_ = db.Exec(context.Background(), "DROP DATABASE IF EXISTS "+dbserver.Quote(schema))
		}
	})
	in(t, s, name, statements...)
}

// in runs statements inside a schema.
func in(t testing.TB, s *Server, schema string, statements ...string) {
	t.Helper()
	conn, err := s.conn(t.Context(), true, "USE "+dbserver.Quote(schema))
	if err != nil {
		t.Fatal(err)
	}
	defer drop(conn)
	for _, statement := range statements {
		if _, err := conn.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%.80s: %v", statement, err)
		}
	}
}

func run(t testing.TB, db *stand.MariaDBServer, statements ...string) {
	t.Helper()
	if err := db.Exec(t.Context(), statements...); err != nil {
		t.Fatal(err)
	}
}

// dump is what a backup would hold of a schema.
func dump(t testing.TB, db *stand.MariaDBServer, schema string, options ...string) []byte {
	t.Helper()
	arguments := append([]string{
		"--no-defaults", "--socket=" + db.Socket, "--user=" + db.RootUser(), "--single-transaction", "--quick", "--routines", "--triggers",
		"--events", "--hex-blob", "--default-character-set=utf8mb4", "--max-allowed-packet=1G", "--no-tablespaces", "--comments", "--skip-dump-date",
	}, options...)
	cmd := exec.CommandContext(t.Context(), "mariadb-dump", append(arguments, "--", schema)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	return stdout.Bytes()
}

// load loads a dump that must be taken, and returns the staged schema.
func load(t testing.TB, s *Server, db string, from io.Reader) LoadOptions {
	t.Helper()
	o := LoadOptions{
		Schema: StagedName(db, "1"), Source: db, Live: db, Charset: "utf8mb4", Collation: "utf8mb4_unicode_ci",
		Binlog: true, Logger: quiet(t),
	}
	if err := s.Load(t.Context(), from, o); err != nil {
		t.Fatal(err)
	}
	return o
}

func exchange(t testing.TB, db string) Exchange {
	return Exchange{DB: db, ID: "1", SiteUser: "lms", Binlog: true, Logger: quiet(t)}
}

func quiet(t testing.TB) *slog.Logger { return slog.New(slog.NewTextHandler(testLog{t}, nil)) }

type testLog struct{ t testing.TB }

func (l testLog) Write(p []byte) (int, error) {
	l.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// picture is all that a schema holds: each table's definition and checksum, and each object's text.
func picture(t testing.TB, s *Server, schema string) map[string]string {
	t.Helper()
	ctx := t.Context()
	conn, err := s.conn(ctx, true, "USE "+dbserver.Quote(schema))
	if err != nil {
		t.Fatal(err)
	}
	defer drop(conn)
	tables, err := tablesOf(ctx, conn, schema)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	for _, name := range tables {
		var ignored, definition, sum string
		if err := conn.QueryRowContext(ctx, "SHOW CREATE TABLE "+dbserver.Quote(name)).Scan(&ignored, &definition); err != nil {
			t.Fatal(err)
		}
		if err := conn.QueryRowContext(ctx, "CHECKSUM TABLE "+dbserver.Quote(name)).Scan(&ignored, &sum); err != nil {
			t.Fatal(err)
		}
		seen["table "+name] = definition + "\n" + sum
	}
	objects, err := liveObjects(ctx, conn, schema, Scope{})
	if err != nil {
		t.Fatal(err)
	}
	for i, o := range objects {
		seen[o.Kind+" "+o.Name] = fmt.Sprintf("%s %s\n%s %s %s %s %s", o.Table, o.Tail, o.SQLMode, o.Client, o.Connection, o.Database, o.TimeZone)
		if o.Kind == kindTrigger {
			seen[o.Kind+" "+o.Name] += fmt.Sprint(i)
		}
	}
	return seen
}

// same compares two pictures.
func same(t testing.TB, what string, got, want map[string]string) {
	t.Helper()
	for name, text := range want {
		if got[name] != text {
			t.Errorf("%s: %s is\n%s\nwant\n%s", what, name, got[name], text)
		}
	}
	for name := range got {
		if _, there := want[name]; !there {
			t.Errorf("%s: %s should not be there", what, name)
		}
	}
}

func openAs(t testing.TB, source string) *sql.DB {
	t.Helper()
	pool, err := sql.Open("mysql", source)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pool.Close() })
	return pool
}
