package alerts_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// fault is something that happens to a host in the live test.
type fault string

const (
	databaseStopped    fault = "database stopped"
	backupAged         fault = "backup aged"
	certificateExpired fault = "certificate expired"
)

// watchedHost is what Prometheus scrapes in the live test and what things happen to: a host with
// two sites, lms and exam. A fault concerns the database server of both, or the site lms.
type watchedHost interface {
	Address() string // host:port
	Break(f fault)
	Repair(f fault)
}

// fakeHost serves the series that the rules read, as the exporter would. Every third scrape
// fails, as on a bad network: no alert may depend on a single scrape.
type fakeHost struct {
	server *httptest.Server

	mu      sync.Mutex
	broken  map[fault]bool
	scrapes int
}

func startFakeHost(t *testing.T) *fakeHost {
	t.Helper()
	h := &fakeHost{broken: map[fault]bool{}}
	h.server = httptest.NewServer(h)
	t.Cleanup(h.server.Close)
	return h
}

func (h *fakeHost) Address() string { return h.server.Listener.Addr().String() }

func (h *fakeHost) Break(f fault)  { h.set(f, true) }
func (h *fakeHost) Repair(f fault) { h.set(f, false) }

func (h *fakeHost) set(f fault, broken bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.broken[f] = broken
}

func (h *fakeHost) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.scrapes++
	if h.scrapes%3 == 0 {
		http.Error(w, "every third scrape fails", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	fmt.Fprint(w, h.exposition(time.Now())) //nolint:errcheck // Prometheus notices
}

// pick is the first value while the fault lasts, else the second.
func (h *fakeHost) pick(f fault, broken, healthy float64) float64 {
	if h.broken[f] {
		return broken
	}
	return healthy
}

func (h *fakeHost) exposition(now time.Time) string {
	const day = 86400
	seconds := float64(now.Unix())
	up := h.pick(databaseStopped, 0, 1)
	var b strings.Builder
	add := func(series string, value float64) { fmt.Fprintf(&b, "moodle_%s %v\n", series, value) }

	add(`exporter_build_info{version="test"}`, 1)
	add(`threshold{name="disk_free_ratio_warning"}`, 0.15)
	add(`threshold{name="cert_warning_days"}`, 30)
	add(`threshold{name="cron_max_age_seconds"}`, 900)
	add(`database_up{server="/run/mysqld/mysqld.sock"}`, up)
	add(`service_up{unit="mariadb.service"}`, up)
	add(`service_up{unit="nginx.service"}`, 1)
	add(`host_filesystem_avail_bytes{mountpoint="/",fstype="ext4"}`, 50e9)
	add(`host_filesystem_size_bytes{mountpoint="/",fstype="ext4"}`, 100e9)
	add(`host_filesystem_readonly{mountpoint="/",fstype="ext4"}`, 0)
	add(`certificate_not_after_timestamp_seconds{target="exam.example.org:443",source="endpoint"}`, seconds+60*day)
	add(`certificate_not_after_timestamp_seconds{target="lms.example.org:443",source="endpoint"}`,
		h.pick(certificateExpired, seconds-3600, seconds+60*day))
	for _, site := range []string{"lms", "exam"} {
		age := 3600.0
		if site == "lms" {
			age = h.pick(backupAged, 9*day, 3600)
		}
		add(fmt.Sprintf(`backup_enabled{site=%q}`, site), 1)
		add(fmt.Sprintf(`job_last_result{site=%q,name="backup"}`, site), 1)
		for _, component := range []string{"database", "files", "code", "config", "all"} {
			add(fmt.Sprintf(`backup_last_success_timestamp_seconds{site=%q,component=%q}`, site, component), seconds-age)
			add(fmt.Sprintf(`backup_max_age_seconds{site=%q,component=%q}`, site, component), 8*day)
		}
		if up == 1 {
			add(fmt.Sprintf(`cron_enabled{site=%q}`, site), 1)
			add(fmt.Sprintf(`cron_last_start_timestamp_seconds{site=%q}`, site), seconds-30)
		}
	}
	return b.String()
}
