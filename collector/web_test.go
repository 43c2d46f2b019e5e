package collector

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

const loginPage = `<!DOCTYPE html><html lang="xx"><body  id="page-login-index" class="format-site"><form class="login-form" id="login"></form></body></html>`

// webServer is a site that answers as a test wants it to.
func webServer(t *testing.T, answer http.HandlerFunc) (*httptest.Server, *Web) {
	t.Helper()
	server := httptest.NewTLSServer(answer)
	t.Cleanup(server.Close)
	server.Config.ErrorLog = nil
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	c := NewWeb(WebOptions{
		Sites: sitesOf([]*moodle.Site{{Name: "lms", Config: moodle.PHPConfig{WWWRoot: server.URL + "/moodle/"}}}),
		Roots: roots, Clock: time.Now, Logger: discard(),
	})
	return server, c
}

func to(code int, place string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.Header().Set("Location", place)
		w.WriteHeader(code)
	}
}

func shows(code int, page string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(code)
		_, _ = io.WriteString(w, page)
	}
}

// TestWebAnswers: what counts as a login page, and what as the way to one.
func TestWebAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		answer          http.HandlerFunc
		success, status float64
		why             string
	}{
		"login page":              {shows(200, loginPage), 1, 200, ""},
		"login page of a theme":   {shows(200, `<body><form><input class="x" name='username'/><input id=p type=password name=password>`), 1, 200, ""},
		"a name without quotes":   {shows(200, `<BODY class="x" id=page-login-index>`), 1, 200, ""},
		"login page, but 500":     {shows(500, loginPage), 0, 500, "answers 500"},
		"another page of Moodle":  {shows(200, `<body id="page-site-index">page-login-index <input name="search">`), 0, 200, "no login page"},
		"half a form":             {shows(200, `<input name="username">`), 0, 200, "no login page"},
		"nothing":                 {shows(200, ""), 0, 200, "no login page"},
		"installer":               {to(302, "/moodle/install.php"), 0, 302, "more than 10 redirects"},
		"round and round":         {to(302, "/moodle/login/index.php"), 0, 302, "more than 10 redirects"},
		"to plain HTTP":           {to(302, "http://127.0.0.1/moodle/login/index.php"), 0, 302, "another place (http://127.0.0.1/moodle/login/index.php)"},
		"moved":                   {to(301, "https://new.example.org/?token=secret", "Set-Cookie", "MoodleSession=x"), 0, 301, "another place (https://new.example.org/)"},
		"to a stranger":           {to(302, "https://evil.example.org/x?token=secret"), 0, 302, "another place (https://evil.example.org/x)"},
		"single sign-on":          {to(302, "https://idp.example.org/saml?SAMLRequest=x", "Set-Cookie", "MoodleSessionlms=x; path=/; secure"), 1, 302, ""},
		"single sign-on, named":   {to(303, "https://idp.example.org/saml", "X-Redirect-By", "Moodle /login/index.php:90"), 1, 303, ""},
		"single sign-on in clear": {to(303, "http://idp.example.org/saml", "X-Redirect-By", "Moodle"), 0, 303, "another place"},
		"a redirect to nowhere":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusFound) }, 0, 302, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, c := webServer(t, test.answer)
			c.Refresh(t.Context())
			got, err := seriesOf(t, c)
			must(t, err)
			why := fmt.Sprint(c.visits.refresher.Last().Value["lms"].Value.err)
			if got["web_probe_success{lms}"] != test.success || got["web_probe_status_code{lms}"] != test.status || !strings.Contains(why, test.why) || strings.Contains(why, "secret") {
				t.Errorf("success %v, status %v: %s; want %v, %v: %s", got["web_probe_success{lms}"], got["web_probe_status_code{lms}"], why, test.success, test.status, test.why)
			}
		})
	}
}

// TestWebFollowsRedirectsOnItsHost: to a path and to another port, keeping what the phases took so far.
func TestWebFollowsRedirectsOnItsHost(t *testing.T) {
	var asked []string
	other, _ := webServer(t, shows(200, loginPage))
	_, c := webServer(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path)
		if r.URL.Path == "/moodle/login/index.php" {
			http.Redirect(w, r, "/moodle/auth/own/login.php", http.StatusSeeOther)
			return
		}
		http.Redirect(w, r, other.URL+"/own", http.StatusSeeOther)
	})
	c.Refresh(t.Context())
	got, err := seriesOf(t, c)
	must(t, err)
	wantValues(t, got, map[string]float64{"web_probe_success{lms}": 1, "web_probe_status_code{lms}": 200})
	if strings.Join(asked, " ") != "/moodle/login/index.php /moodle/auth/own/login.php" {
		t.Errorf("asked for %q", asked)
	}
	if _, there := got["web_probe_phase_duration_seconds{resolve,lms}"]; there {
		t.Error("an address needs no resolving")
	}
}

// TestWebCookies: one session for all visits, until the site ends it.
func TestWebCookies(t *testing.T) {
	made, known := 0, ""
	_, c := webServer(t, func(w http.ResponseWriter, r *http.Request) {
		if cookie, err := r.Cookie("MoodleSession"); err != nil || cookie.Value != known {
			made++
			known = fmt.Sprint("session", made)
			http.SetCookie(w, &http.Cookie{Name: "MoodleSession", Value: known, Path: "/moodle/", Secure: true, HttpOnly: true})
		}
		_, _ = io.WriteString(w, loginPage)
	})
	visit := func() {
		clear(c.visits.refresher.Last().Value)
		c.Refresh(t.Context())
	}
	for range 10 {
		visit()
	}
	if made != 1 {
		t.Errorf("ten visits made %d sessions", made)
	}
	known = "ended by the site"
	for range 10 {
		visit()
	}
	if made != 2 {
		t.Errorf("after the site had ended it, %d sessions", made)
	}
}

// TestWebSitesThatNeverEnd: bodies without end, slow ones, silent servers; the round ends, and nothing is left behind.
func TestWebSitesThatNeverEnd(t *testing.T) {
	drip := func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, "<p>")
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	flood := func(w http.ResponseWriter, r *http.Request) {
		part := bytes.Repeat([]byte("x"), 1<<16)
		_, _ = io.WriteString(w, loginPage)
		for r.Context().Err() == nil {
			if _, err := w.Write(part); err != nil {
				return
			}
		}
	}
	silent := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		status float64
		phase  string
		why    string
	}{
		"slow body":  {drip, 200, "transfer", "no login page within"},
		"huge body":  {flood, 200, "transfer", "larger than"},
		"no answer":  {silent, 0, "processing", "no login page within"},
		"cut answer": {func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }, 0, "processing", "visit the login page"},
	} {
		t.Run(name, func(t *testing.T) {
			before := runtime.NumGoroutine()
			server, c := webServer(t, test.answer)
			c.time = 300 * time.Millisecond
			c.Refresh(t.Context())
			got, err := seriesOf(t, c)
			must(t, err)
			why := fmt.Sprint(c.visits.refresher.Last().Value["lms"].Value.err)
			if got["web_probe_success{lms}"] != 0 || got["web_probe_status_code{lms}"] != test.status || !strings.Contains(why, test.why) {
				t.Errorf("success %v, status %v: %s", got["web_probe_success{lms}"], got["web_probe_status_code{lms}"], why)
			}
			if got["web_probe_phase_duration_seconds{"+test.phase+",lms}"] <= 0 {
				t.Errorf("no time of %s: %v", test.phase, got)
			}
			server.Close()
			waitFor(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
		})
	}
}

// TestWebServerThatSaysNothing: a port that accepts and is silent shows in the phase that hangs.
func TestWebServerThatSaysNothing(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	c := NewWeb(WebOptions{
		Sites: sitesOf([]*moodle.Site{
			{Name: "lms", Config: moodle.PHPConfig{WWWRoot: "https://" + listener.Addr().String()}},
			{Name: "gone", Config: moodle.PHPConfig{WWWRoot: "https://no-such-host.invalid"}},
		}),
		Clock: time.Now, Logger: discard(),
	})
	c.time = 300 * time.Millisecond
	c.Refresh(t.Context())
	got, err := seriesOf(t, c)
	must(t, err)
	wantValues(t, got, map[string]float64{"web_probe_success{lms}": 0, "web_probe_success{gone}": 0})
	if got["web_probe_phase_duration_seconds{tls,lms}"] < got["web_probe_phase_duration_seconds{connect,lms}"] {
		t.Errorf("the hanging handshake does not show: %v", got)
	}
	if _, there := got["web_probe_status_code{gone}"]; there {
		t.Error("a status without an answer")
	}
}

// TestWebLogsChangesOnly: an outage is one line, its end another; the collector itself stays a success.
func TestWebLogsChangesOnly(t *testing.T) {
	closed := true
	_, c := webServer(t, func(w http.ResponseWriter, r *http.Request) {
		if closed {
			http.Error(w, "closed", http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, loginPage)
	})
	var log bytes.Buffer
	c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	for i := range 6 {
		closed = i < 3
		clear(c.visits.refresher.Last().Value)
		c.Refresh(t.Context())
		if _, err := seriesOf(t, c); err != nil {
			t.Error(err)
		}
	}
	if lines := strings.Count(log.String(), "\n"); lines != 2 || !strings.Contains(log.String(), "503") {
		t.Errorf("%d lines: %s", lines, log.String())
	}
}

// TestWebKeepsItsResultsWhenItIsEnded: a reload is no outage.
func TestWebKeepsItsResultsWhenItIsEnded(t *testing.T) {
	_, c := webServer(t, shows(200, loginPage))
	c.Refresh(t.Context())
	ended, end := context.WithCancel(t.Context())
	end()
	c.Clock = func() time.Time { return time.Now().Add(webCadence) }
	c.visits.clock = c.Clock
	c.Refresh(ended)
	got, err := seriesOf(t, c)
	must(t, err)
	wantValues(t, got, map[string]float64{"web_probe_success{lms}": 1})
}
