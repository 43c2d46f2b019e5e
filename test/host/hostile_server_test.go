package host

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// TestSlowDatabase: a server that takes a second for each answer costs its own series at most, and no answer; one that
// refuses is told of once, not at each scrape.
func TestSlowDatabase(t *testing.T) {
	t.Parallel()
	h := theHost(t)
	line := newSlowLine(t, net.JoinHostPort("127.0.0.1", strconv.Itoa(h.db.Port)))
	i := h.install(t, nil)
	edit(t, filepath.Join(h.lms.CodeDir, "config.php"), fmt.Sprintf("'dbport' => %d", h.db.Port), fmt.Sprintf("'dbport' => %d", line.port))
	server := net.JoinHostPort("127.0.0.1", strconv.Itoa(line.port))
	e := i.serve(t)
	for _, site := range []string{"lms", "campus"} { // the rounds in the background are over
		eventually(t, func() error { return e.shows("files", "site", site) })
	}
	e.fails(t, withoutSystemd...).want(t, 1, "database_up", "server", server)

	line.delay.Store(int64(time.Second))
	for range 3 {
		text, err := e.scrapeWithin(3 * time.Second)
		must(t, err)
		p := parse(t, text)
		p.want(t, 1, "database_up", "server", h.db.Socket)
		p.want(t, 1, "site_info", "site", "lms")
		p.want(t, 1, "cron_enabled", "site", "campus")
		if _, err := p.value("database_up", "server", server); err != nil {
			t.Error(err)
		}
		for _, name := range p.failing() {
			if !slices.Contains([]string{"service", "database", "site", "activity"}, name) {
				t.Errorf("%s fails for the database's slowness", name)
			}
		}
	}
	line.delay.Store(0)
	e.fails(t, withoutSystemd...).want(t, 1, "database_up", "server", server)

	before := len(e.errorLines())
	line.cut()
	for range 30 {
		text, err := e.scrapeWithin(3 * time.Second)
		must(t, err)
		p := parse(t, text)
		p.want(t, 0, "database_up", "server", server)
		p.want(t, 1, "database_up", "server", h.db.Socket)
	}
	e.fails(t, "service", "database", "site", "activity")
	line.listen(t, line.port)
	e.fails(t, withoutSystemd...)
	// Each of three collectors says that it fails, may give a second reason, and says that it works again.
	if lines := e.errorLines()[before:]; len(lines) > 3*3 || len(lines) < 6 {
		t.Errorf("%d lines in the log about one outage:\n%s", len(lines), strings.Join(lines, ""))
	}
}

// TestRedisWithoutLogin: a server that wants a password we do not have costs its own series and says what to do.
func TestRedisWithoutLogin(t *testing.T) {
	t.Parallel()
	h := theHost(t)
	i := h.install(t, object{"redis": []object{{"address": h.redis.Address}}})
	e := i.serve(t)
	p := e.fails(t, "service", "redis")
	p.want(t, 0, "redis_up", "server", h.redis.Address)
	if !strings.Contains(e.get(t, "/"), "password_file") {
		t.Error("the status page does not say what to do")
	}
}

// TestSaturatedPool: when all workers of PHP are busy and requests wait, the pool tells so, and a scrape does not wait.
func TestSaturatedPool(t *testing.T) {
	t.Parallel()
	h := theHost(t)
	i := h.install(t, nil)
	flag := filepath.Join(h.dir, "go-on")
	script := filepath.Join(h.lms.DocRoot, "wait.php")
	must(t, os.WriteFile(script, []byte("<?php while (!file_exists("+stand.PHPString(flag)+")) { usleep(20000); clearstatcache(); }\n"), 0o644))
	var visitors sync.WaitGroup
	goOn := sync.OnceFunc(func() { _ = os.WriteFile(flag, nil, 0o644); visitors.Wait() })
	t.Cleanup(func() { goOn(); must(t, os.Remove(flag), os.Remove(script)) })
	e := i.serve(t)
	eventually(t, func() error { return e.shows("web_probe_success", "site", "lms") })
	for range 8 { // the pool has five workers; only its collector's own test sees who waits, for it knows the pool's file
		visitors.Go(func() {
			if response, err := h.webs[0].Client().Get(h.webs[0].URL + "/wait.php"); err == nil {
				_ = response.Body.Close()
			}
		})
	}
	busy := func(want float64) func() error {
		return func() error {
			text, err := e.scrapeWithin(3 * time.Second)
			if err != nil {
				return err
			}
			p := parse(t, text)
			p.want(t, 1, "phpfpm_up")
			p.want(t, 1, "scrape_collector_success", "collector", "phpfpm")
			if active, err := p.value("phpfpm_processes", "state", "active"); err != nil || active != want {
				return fmt.Errorf("%v workers are busy, want %v (%w)", active, want, err)
			}
			return nil
		}
	}
	eventually(t, busy(5))
	goOn()
	eventually(t, busy(0))
}

// TestThousandsOfServices: with a bus that never answers each has its one sample, in time.
func TestThousandsOfServices(t *testing.T) {
	t.Parallel()
	units := make([]string, 5000)
	for n := range units {
		units[n] = fmt.Sprintf("worker@%d.service", n)
	}
	i := theHost(t).install(t, object{"services": units})
	silent(t, filepath.Join(i.dir, "no-bus"))
	e := i.serve(t)
	text, err := e.scrapeWithin(3 * time.Second)
	must(t, err)
	p := parse(t, text)
	if got := len(p["moodle_service_up"].GetMetric()); got != len(units) {
		t.Errorf("%d services, want %d", got, len(units))
	}
	p.want(t, 0, "service_up", "unit", "worker@4999.service")
	p.want(t, 1, "database_up", "server", i.db.Socket)
}

// TestLongQueue: with 300,000 ad hoc tasks a scrape is in time, and counts them.
func TestLongQueue(t *testing.T) {
	t.Parallel()
	h := theHost(t)
	table := "`" + h.lms.Database + "`." + h.lms.Prefix + "task_adhoc"
	must(t, h.db.Exec(t.Context(), "RENAME TABLE "+table+" TO "+table+"_away", "CREATE TABLE "+table+" LIKE "+table+"_away"))
	t.Cleanup(func() {
		must(t, h.db.Exec(context.Background(), "DROP TABLE "+table, "RENAME TABLE "+table+"_away TO "+table))
	})
	must(t, h.db.Exec(t.Context(), "INSERT INTO "+table+" (component, classname, nextruntime, faildelay, customdata, timecreated, attemptsavailable)"+
		` SELECT 'mod_forum', CONCAT('\\mod_forum\\task\\send_', seq MOD 50), UNIX_TIMESTAMP() - seq MOD 90000, IF(seq MOD 1000, 0, 60), REPEAT('x', 200), 0, 12`+
		" FROM `"+h.lms.Database+"`.seq_1_to_300000"))
	e := h.install(t, nil).serve(t)
	for range 3 {
		text, err := e.scrapeWithin(3 * time.Second)
		must(t, err)
		p := parse(t, text)
		p.want(t, 300000, "task_adhoc_queued", "site", "lms")
		p.want(t, 300, "tasks_failing", "site", "lms")
		p.want(t, 1, "scrape_collector_success", "collector", "site")
		if tasks := len(p["moodle_task_fail_delay_seconds"].GetMetric()); tasks > 20 {
			t.Errorf("%d failing tasks have a series of their own", tasks)
		}
	}
}
