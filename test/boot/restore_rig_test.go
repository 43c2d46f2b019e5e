package boot_test

import (
	"context"
	"database/sql"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"

	"github.com/moodle-exporter/moodle-exporter/test/boot"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// patient is a machine with a site and the exporter, on which disasters are tried.
type patient struct {
	*boot.Machine
	site   *boot.Site
	binary string
}

// newPatient boots a machine of its own, with a site in use: cron is stopped, as it writes to tables that are compared.
func newPatient(t *testing.T, disks ...boot.Disk) *patient {
	t.Helper()
	boot.Need(t)
	m, err := boot.Start(t.Context(), boot.Options{Disks: disks})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	p := &patient{Machine: m}
	if p.site, err = m.InstallSite(t.Context(), boot.SiteOptions{Fixture: true}); err != nil {
		t.Fatal(err)
	}
	p.must(t, "systemctl", "stop", "cron.service")
	if p.binary, err = stand.ExporterBinary(t.TempDir()); err != nil {
		t.Fatal(err)
	}
	if err := m.InstallExporter(t.Context(), p.binary); err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *patient) must(t *testing.T, argv ...string) string {
	t.Helper()
	out, err := p.Must(t.Context(), argv...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (p *patient) sh(t *testing.T, script string) string {
	t.Helper()
	return p.must(t, "sh", "-euc", script)
}

// sql runs statements as the administrator.
func (p *patient) sql(t *testing.T, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		p.must(t, "mariadb", p.site.Database, "-e", statement)
	}
}

// objects gives the schema what RENAME TABLE stumbles over, and moves nothing of.
func (p *patient) objects(t *testing.T) {
	t.Helper()
	prefix := p.site.Prefix
	p.sql(t,
		"CREATE VIEW seen AS SELECT id, fullname FROM "+prefix+"course",
		"CREATE TRIGGER trimmed BEFORE INSERT ON "+prefix+"course FOR EACH ROW SET NEW.fullname = TRIM(NEW.fullname)",
		"CREATE FUNCTION twice(x INT) RETURNS INT DETERMINISTIC RETURN 2 * x",
		"CREATE PROCEDURE nothing() SELECT 1",
		"CREATE EVENT yearly ON SCHEDULE EVERY 1 YEAR STARTS '2037-01-01 00:00:00' DO DELETE FROM "+prefix+"course WHERE id < 0")
}

// whole is all that makes the site.
type whole struct{ rows, objects, code, data string }

func (p *patient) whole(t *testing.T) whole {
	t.Helper()
	dsn := stand.AttachMariaDB(p.HostPath("/run/mysqld/mysqld.sock"), 3306).RootDSN(p.site.Database)
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	rows, err := stand.Sums(t.Context(), dsn, p.site.Prefix)
	if err != nil {
		t.Fatal(err)
	}
	if tables := strings.Count(rows, "\n"); tables < 400 {
		t.Errorf("there are only %d tables", tables)
	}
	return whole{rows: rows, objects: p.listObjects(t, db), code: p.tree(t, p.site.CodeDir), data: p.tree(t, p.site.Dataroot)}
}

func (p *patient) listObjects(t *testing.T, db *sql.DB) string {
	t.Helper()
	return strings.Join(column(t, db, `SELECT CONCAT('trigger ', TRIGGER_NAME, EVENT_OBJECT_TABLE, ACTION_STATEMENT, DEFINER) FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()
		UNION SELECT CONCAT('view ', TABLE_NAME, VIEW_DEFINITION, DEFINER) FROM information_schema.VIEWS WHERE TABLE_SCHEMA = DATABASE()
		UNION SELECT CONCAT('routine ', ROUTINE_NAME, ROUTINE_DEFINITION, DEFINER) FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = DATABASE()
		UNION SELECT CONCAT('event ', EVENT_NAME, EVENT_DEFINITION, DEFINER) FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE()
		UNION SELECT CONCAT('schema ', DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = DATABASE() ORDER BY 1`), "\n")
}

func column(t *testing.T, db *sql.DB, query string) (values []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var value string
		if err := rows.Scan(&value); err != nil {
			t.Fatal(err)
		}
		values = append(values, value)
	}
	return values
}

// tree lists a directory with owners, modes and sums, without caches and what is ours.
func (p *patient) tree(t *testing.T, dir string) string {
	t.Helper()
	return p.sh(t, "cd "+dir+`/
		prune='( -path ./cache -o -path ./localcache -o -path ./temp -o -path ./sessions -o -path ./trashdir -o -path ./lock -o -path ./lost+found -o -path ./.mxp-* ) -prune -o'
		set -f
		find . $prune -printf '%p %y %m %u:%g %l\n' | sort
		find . $prune -type f -print0 | sort -z | xargs -0 sha1sum`)
}

func (before whole) same(t *testing.T, after whole) {
	t.Helper()
	for _, part := range []struct{ what, before, after string }{
		{"rows", before.rows, after.rows}, {"triggers and the like", before.objects, after.objects}, {"code", before.code, after.code}, {"data", before.data, after.data},
	} {
		if part.before != part.after {
			t.Errorf("%s are not the same:\n%s", part.what, stand.Diff(part.before, part.after))
		}
	}
}

// prober asks for the login page all the time, as visitors do.
type prober struct {
	mutex sync.Mutex
	seen  []glimpse
	looks int
	stop  context.CancelFunc
	done  sync.WaitGroup
}

// glimpse is what visitors saw from a moment on.
type glimpse struct {
	what string
	from time.Time
}

// What visitors see.
const (
	loginPage   = "the login page"
	maintenance = "the maintenance page"
)

func (p *patient) probe(t *testing.T) *prober {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	found := &prober{stop: cancel}
	found.done.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			at := time.Now()
			what := p.look(ctx)
			found.mutex.Lock()
			found.looks++
			if last := len(found.seen) - 1; ctx.Err() == nil && (last < 0 || found.seen[last].what != what) {
				found.seen = append(found.seen, glimpse{what, at})
			}
			found.mutex.Unlock()
			select {
			case <-ctx.Done():
			case <-tick.C:
			}
		}
	})
	return found
}

func (p *patient) look(ctx context.Context) string {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.site.WWWRoot+"/login/index.php", nil)
	if err != nil {
		return err.Error()
	}
	response, err := p.Client().Do(request)
	if err != nil {
		return "no answer"
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return "half an answer"
	case response.StatusCode == http.StatusOK && strings.Contains(string(body), `name="password"`):
		return loginPage
	case response.StatusCode == http.StatusServiceUnavailable && strings.Contains(string(body), "maintenance"):
		return maintenance
	}
	return response.Status
}

// end returns what was seen, and for how long the site was in maintenance mode. It waits for one more look, so that what
// visitors see now is the last that was seen.
func (p *prober) end() (seen []string, closed time.Duration) {
	p.mutex.Lock()
	looks := p.looks
	p.mutex.Unlock()
	for now := looks; now < looks+2; { // one look may have begun before
		time.Sleep(10 * time.Millisecond)
		p.mutex.Lock()
		now = p.looks
		p.mutex.Unlock()
	}
	p.stop()
	p.done.Wait()
	for i, glimpse := range p.seen {
		seen = append(seen, glimpse.what)
		if glimpse.what == maintenance && i+1 < len(p.seen) {
			closed += p.seen[i+1].from.Sub(glimpse.from)
		}
	}
	return seen, closed
}
