package host

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// share makes a directory one on a network share; stopping its daemon makes everything that touches it hang.
func share(t *testing.T, dir string) (daemon *os.Process) {
	t.Helper()
	return stand.MountShare(t, dir, dir)
}

// silent listens on a unix socket, accepts and never says a word.
func silent(t *testing.T, path string) {
	t.Helper()
	listener, err := net.Listen("unix", path)
	must(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			if _, err := listener.Accept(); err != nil {
				return
			}
		}
	}()
}

// hang stops a process and lets it go on when the test ends, or sooner by the function it returns.
func hang(t *testing.T, pid int) (goOn func()) {
	t.Helper()
	must(t, syscall.Kill(pid, syscall.SIGSTOP))
	once := sync.OnceFunc(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	t.Cleanup(once)
	return once
}

const timeoutHeader = "X-Prometheus-Scrape-Timeout-Seconds"

// scrapeWithin scrapes as Prometheus does with that timeout: it hangs up when the time is over.
func (e *exporter) scrapeWithin(timeout time.Duration) (string, error) {
	client := &http.Client{Timeout: timeout}
	a, err := ask(client, http.MethodGet, e.url+"/metrics", timeoutHeader, fmt.Sprint(timeout.Seconds()))
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("%d %s", a.status, a.body)
	}
	return a.body, err
}

// TestNeverBlind: with a hung mount below a site, a bus that accepts and never answers and a database that accepts
// and never answers, all at once, a scrape is back within Prometheus' timeout and shows everything else.
func TestNeverBlind(t *testing.T) {
	h := theHost(t)
	dataroot := share(t, h.campus.Dataroot)
	other := filepath.Join(h.dir, "other-share")
	must(t, os.MkdirAll(other, 0o755))
	elsewhere := share(t, other)
	i := h.install(t, nil)
	i.mustRun(t, "backup", "--site=lms")
	silent(t, filepath.Join(i.dir, "no-bus"))
	e := i.serve(t)
	eventually(t, func() error { return e.shows("certificate_probe_success", "target", h.webs[1].Address) })
	healthy := e.scrape(t, "/metrics", timeoutHeader, "3")
	healthy.want(t, 1, "database_up", "server", h.db.Socket)
	healthy.want(t, 1, "host_filesystem_responding", "mountpoint", h.campus.Dataroot)
	healthy.want(t, 1, "host_filesystem_role_info", "mountpoint", h.campus.Dataroot, "role", "moodledata")

	goOn := []func(){hang(t, dataroot.Pid), hang(t, elsewhere.Pid), hang(t, h.db.Pid())}
	text, err := e.scrapeWithin(3 * time.Second)
	must(t, err)
	testHung(t, h, healthy, parse(t, text))

	// Each scrape that gives up must leave nothing behind.
	text, err = e.scrapeWithin(3 * time.Second)
	must(t, err)
	before, files := parse(t, text), descriptors(t, e.process.Process.Pid)
	status := make(chan error, 1)
	go func() {
		a, err := ask(&http.Client{Timeout: patience}, http.MethodGet, e.url+"/")
		if err == nil && (a.status != http.StatusOK || !strings.Contains(a.body, "does not answer")) {
			err = fmt.Errorf("%d %s", a.status, a.body)
		}
		status <- err
	}()
	e.many(t, 200, 40, 3*time.Second)
	if err := <-status; err != nil {
		t.Errorf("the status page: %v", err)
	}
	eventually(t, func() error {
		text, err := e.scrapeWithin(3 * time.Second)
		if err != nil {
			return err
		}
		return errors.Join(flat(before, parse(t, text), "go_goroutines"), flat(before, parse(t, text), "process_open_fds"),
			atMost("descriptors", float64(descriptors(t, e.process.Process.Pid)), float64(files)))
	})
	// One thing that hangs is one line in the log, not one for each scrape.
	if lines := strings.Count(e.log.String(), "reading"); lines > 3*8 {
		t.Errorf("%d lines about failures in the log", lines)
	}

	for _, f := range goOn {
		f()
	}
	eventually(t, func() error { return recovered(t, h, e, healthy) })
}

// TestStartedBlind: what is started while a site's dataroot hangs shows the rest, and ends when it is told to.
func TestStartedBlind(t *testing.T) {
	h := theHost(t)
	dataroot := share(t, h.campus.Dataroot)
	i := h.install(t, nil)
	i.mustRun(t, "probe")
	goOn := hang(t, dataroot.Pid)
	status := i.launch(t, i.command(t.Context(), t, "status"))
	e := i.serve(t)
	text, err := e.scrapeWithin(3 * time.Second)
	must(t, err)
	p := parse(t, text)
	p.want(t, 0, "host_filesystem_responding", "mountpoint", h.campus.Dataroot)
	p.want(t, 1, "host_filesystem_responding", "mountpoint", "/")
	p.want(t, 1, "site_info", "site", "campus")
	if code := e.stop(t); code != 0 {
		t.Errorf("told to end while it hangs, it ended with %d", code)
	}
	// The dump's cron stands still, which is critical; that it ends at all is the point.
	if code := status.wait(t); code != 2 || !strings.Contains(status.log.String(), "does not answer") {
		t.Errorf("status ended with %d: %s", code, status.log)
	}
	goOn()
	i.serve(t).scrape(t, "/metrics").want(t, 1, "scrape_collector_success", "collector", "site")
}

// testHung looks for what is not there, and for what has to be.
func testHung(t *testing.T, h *host, healthy, p page) {
	t.Helper()
	p.want(t, 0, "host_filesystem_responding", "mountpoint", h.campus.Dataroot)
	p.want(t, 1, "host_filesystem_role_info", "mountpoint", h.campus.Dataroot, "role", "moodledata")
	p.want(t, 0, "host_filesystem_responding", "mountpoint", filepath.Join(h.dir, "other-share"))
	p.want(t, 1, "host_filesystem_responding", "mountpoint", "/")
	p.want(t, 0, "database_up", "server", h.db.Socket)
	p.want(t, 0, "service_up", "unit", "mariadb.service")
	for name, want := range map[string]float64{
		"backup": 1, "certificate": 1, "cpu": 1, "database": 0, "filesystem": 1, "job": 1, "memory": 1, "probe": 1, "service": 0, "site": 0, "threshold": 1,
	} {
		p.want(t, want, "scrape_collector_success", "collector", name)
		if _, err := p.value("scrape_collector_duration_seconds", "collector", name); err != nil {
			t.Error(err)
		}
	}
	// What no hung thing has to be asked for is all there.
	for name, family := range healthy {
		short := strings.TrimPrefix(name, "moodle_")
		subsystem, _, _ := strings.Cut(short, "_")
		switch subsystem {
		case "backup", "backups", "certificate", "exporter", "job", "probe", "refresh", "threshold", "host", "site":
			if got, want := len(p[name].GetMetric()), len(family.GetMetric()); got != want && !strings.HasPrefix(short, "host_filesystem") {
				t.Errorf("%s has %d samples while things hang, %d otherwise", name, got, want)
			}
		}
	}
}

// many scrapes, several at a time; each has to be back in time.
func (e *exporter) many(t *testing.T, scrapes, atOnce int, timeout time.Duration) {
	t.Helper()
	work := make(chan int)
	failures := make(chan error, scrapes)
	var all sync.WaitGroup
	for range atOnce {
		all.Go(func() {
			for range work {
				_, err := e.scrapeWithin(timeout)
				failures <- err
			}
		})
	}
	for n := range scrapes {
		work <- n
	}
	close(work)
	all.Wait()
	close(failures)
	late := 0
	for err := range failures {
		if err != nil {
			late++
			t.Log(err)
		}
	}
	if late > 0 {
		t.Errorf("%d of %d scrapes were not answered before their deadline", late, scrapes)
	}
}

// slack is for what the runtime itself starts and ends.
const slack = 4

// flat says that a metric of the exporter itself has not grown.
func flat(before, after page, name string) error {
	read := func(p page) float64 { return p[name].GetMetric()[0].GetGauge().GetValue() }
	return atMost(name, read(after), read(before))
}

func atMost(what string, got, want float64) error {
	if got > want+slack {
		return fmt.Errorf("%s: %v, before %v", what, got, want)
	}
	return nil
}

// recovered says that everything is as it was, in the same process.
func recovered(t *testing.T, h *host, e *exporter, healthy page) error {
	t.Helper()
	p := e.scrape(t, "/metrics", timeoutHeader, "3")
	var problems []error
	for name, labels := range map[string][]string{
		"database_up": {"server", h.db.Socket}, "host_filesystem_responding": {"mountpoint", h.campus.Dataroot},
		"scrape_collector_success": {"collector", "site"},
	} {
		if got, err := p.value(name, labels...); err != nil || got != 1 {
			problems = append(problems, fmt.Errorf("%s%q: %v %w", name, labels, got, err))
		}
	}
	for name := range healthy {
		if p[name] == nil {
			problems = append(problems, fmt.Errorf("%s has not come back", name))
		}
	}
	return errors.Join(append(problems, flat(healthy, p, "go_goroutines"))...)
}
