package collector

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/loginpage"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// webStand is a site behind a real nginx and PHP-FPM, and a collector that visits it.
type webStand struct {
	site *stand.Site
	web  *stand.NginxServer
	fpm  *stand.PHPFPMServer
	c    *Web
}

func newWebStand(t *testing.T) (*webStand, *stand.MariaDBServer) {
	t.Helper()
	stand.Need(t, stand.MariaDB, stand.PHP, stand.PHPFPM, stand.Nginx)
	server, _ := theFleet(t)
	dir := stand.TempDir(t)
	port, err := stand.FreePort()
	must(t, err)
	s := &webStand{}
	s.site, err = stand.NewSite(t.Context(), dir, server, stand.SiteOptions{Name: "web", WWWRoot: "https://localhost:" + strconv.Itoa(port)})
	must(t, err)
	t.Cleanup(func() {
		must(t, server.Exec(fleetContext, "DROP DATABASE web", "DROP USER web@localhost, web@127.0.0.1"))
	})
	s.fpm, err = stand.StartPHPFPM(t.Context(), dir)
	must(t, err)
	t.Cleanup(func() { _ = s.fpm.Close() })
	s.web, err = stand.StartNginx(t.Context(), dir, s.site, s.fpm, stand.NginxOptions{Port: port})
	must(t, err)
	t.Cleanup(func() { _ = s.web.Close() })
	s.c = NewWeb(WebOptions{
		Sites: sitesOf([]*moodle.Site{{Name: "lms", Config: moodle.PHPConfig{WWWRoot: s.site.WWWRoot}}}),
		Clock: time.Now, Logger: discard(),
	})
	s.trust(t)
	return s, server
}

// trust makes nginx's current certificate one that the collector believes in.
func (s *webStand) trust(t *testing.T) {
	t.Helper()
	pem, err := os.ReadFile(s.web.CertificateFile)
	must(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	s.c.transport = loginpage.NewTransport(roots)
}

// visit is what the collector shows after another visit.
func (s *webStand) visit(t *testing.T) map[string]float64 {
	t.Helper()
	clear(s.c.visits.refresher.Last().Value)
	s.c.Refresh(t.Context())
	got, err := seriesOf(t, s.c)
	must(t, err)
	return got
}

// phasesOf are the phases that a visit went through.
func phasesOf(got map[string]float64) []string {
	var phases []string
	for _, phase := range []string{"resolve", "connect", "tls", "processing", "transfer"} {
		if _, there := got["web_probe_phase_duration_seconds{"+phase+",lms}"]; there {
			phases = append(phases, phase)
		}
	}
	return phases
}

// TestWebProbe goes through what happens to a real web server.
func TestWebProbe(t *testing.T) {
	s, server := newWebStand(t)
	whole := []string{"resolve", "connect", "tls", "processing", "transfer"}
	expect := func(what string, success, status float64, phases ...string) {
		t.Helper()
		before := float64(time.Now().Unix())
		got := s.visit(t)
		code, answered := got["web_probe_status_code{lms}"]
		if got["web_probe_success{lms}"] != success || code != status || answered != (status > 0) {
			t.Errorf("%s: success %v, status %v, want %v, %v (%v)", what, got["web_probe_success{lms}"], code, success, status, s.c.visits.refresher.Last().Value["lms"].Value.err)
		}
		if !slices.Equal(phasesOf(got), phases) {
			t.Errorf("%s: phases %q, want %q", what, phasesOf(got), phases)
		}
		sum := 0.0
		for _, phase := range phases {
			sum += got["web_probe_phase_duration_seconds{"+phase+",lms}"]
		}
		if took := got["web_probe_duration_seconds{lms}"]; sum <= 0 || sum > took {
			t.Errorf("%s: phases of %v s in a visit of %v s", what, sum, took)
		}
		if at := got["web_probe_timestamp_seconds{lms}"]; at < before {
			t.Errorf("%s: at %v, before %v", what, at, before)
		}
	}
	if got, err := seriesOf(t, s.c); err != nil || len(got) > 0 {
		t.Errorf("before the first visit: %v (%v)", got, err)
	}
	rows := "SELECT COUNT(*) FROM web." + s.site.Prefix + "sessions"
	before := askNumber(t, server, rows)
	for range 5 {
		expect("healthy", 1, 200, whole...)
	}
	if made := askNumber(t, server, rows) - before; made != 1 {
		t.Errorf("five visits made %v sessions, want 1", made)
	}
	page, _ := once(t, s.c)
	lint(t, page)

	t.Run("maintenance", func(t *testing.T) {
		for _, mode := range []string{"--enable", "--enableold"} {
			must(t, s.site.CLI(t.Context(), "maintenance", mode).Run())
			expect("maintenance "+mode, 0, 503, whole...)
			must(t, s.site.CLI(t.Context(), "maintenance", "--disable").Run())
		}
		expect("open again", 1, 200, whole...)
	})
	t.Run("database gone", func(t *testing.T) {
		must(t, server.Exec(t.Context(), "ALTER USER web@127.0.0.1 ACCOUNT LOCK"))
		expect("without a database", 0, 500, whole...)
		must(t, server.Exec(t.Context(), "ALTER USER web@127.0.0.1 ACCOUNT UNLOCK"))
	})
	t.Run("another page", func(t *testing.T) {
		login := filepath.Join(s.site.DocRoot, "login", "index.php")
		must(t, os.Rename(login, login+".away"))
		must(t, os.WriteFile(login, []byte("<html><title>Welcome to nginx</title>"), 0o644))
		expect("page of somebody else", 0, 200, whole...)
		must(t, os.Rename(login+".away", login))
		expect("own page", 1, 200, whole...)
	})
	t.Run("certificate", func(t *testing.T) {
		until := whole[:3]
		must(t, s.web.Renew(t.Context(), stand.CertificateOptions{}))
		expect("certificate of nobody known", 0, 0, until...)
		must(t, s.web.Renew(t.Context(), stand.CertificateOptions{NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(-time.Hour)}))
		s.trust(t)
		expect("expired certificate", 0, 0, until...)
		must(t, s.web.Renew(t.Context(), stand.CertificateOptions{Hosts: []string{"other.example.org"}}))
		s.trust(t)
		expect("certificate for another name", 0, 0, until...)
		must(t, s.web.Renew(t.Context(), stand.CertificateOptions{}))
		s.trust(t)
		expect("good certificate", 1, 200, whole...)
	})
	t.Run("servers down", func(t *testing.T) {
		must(t, s.fpm.Close())
		expect("PHP-FPM stopped", 0, 502, whole...)
		must(t, s.web.Close())
		expect("nginx stopped", 0, 0, whole[:2]...)
	})
}

// TestWebProbeShowsNothingOld: a visit of long ago is neither a success nor a time to look at.
func TestWebProbeShowsNothingOld(t *testing.T) {
	s, _ := newWebStand(t)
	if got := s.visit(t); got["web_probe_success{lms}"] != 1 {
		t.Fatal(s.c.visits.refresher.Last().Value["lms"].Value.err)
	}
	s.c.Clock = func() time.Time { return time.Now().Add(3 * webCadence) }
	got, _ := seriesOf(t, s.c)
	if success, there := got["web_probe_success{lms}"]; !there || success != 0 {
		t.Errorf("success is there: %v, %v", there, success)
	}
	for _, series := range []string{"web_probe_duration_seconds{lms}", "web_probe_status_code{lms}", "web_probe_phase_duration_seconds{tls,lms}"} {
		if _, there := got[series]; there {
			t.Errorf("%s is there", series)
		}
	}
}
