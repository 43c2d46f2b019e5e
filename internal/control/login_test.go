package control

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// to is a resolver that knows one address for every name.
func to(address string) func(context.Context, string) ([]net.IP, error) {
	return func(context.Context, string) ([]net.IP, error) { return []net.IP{net.ParseIP(address)}, nil }
}

func TestCheckLogin(t *testing.T) {
	t.Parallel()
	s := newServed(t, stand.SiteOptions{})
	pem, err := os.ReadFile(s.web.CertificateFile)
	must(t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	trusting := LoginCheck{Roots: roots}
	visit := func(check LoginCheck) (LoginAnswer, error) { return CheckLogin(t.Context(), s.site, check) }

	if answer, err := visit(trusting); err != nil || answer != (LoginAnswer{Status: 200}) {
		t.Errorf("%+v, %v", answer, err)
	}
	// A certificate that no browser trusts is told, and the site is all right.
	if answer, err := visit(LoginCheck{}); err != nil || answer.Status != 200 || answer.Certificate == nil {
		t.Errorf("untrusted: %+v, %v", answer, err)
	}
	// The name leads to another host, as that of a proxy or of the site's old host does; this host is asked.
	elsewhere := LoginCheck{Roots: roots, Resolve: to("192.0.2.1"), Own: []net.IP{}}
	if answer, err := visit(elsewhere); err != nil || answer != (LoginAnswer{Status: 200, Local: true}) {
		t.Errorf("elsewhere: %+v, %v", answer, err)
	}
	unknown := LoginCheck{Roots: roots, Resolve: func(context.Context, string) ([]net.IP, error) { return nil, errors.New("no such host") }}
	if answer, err := visit(unknown); err != nil || !answer.Local {
		t.Errorf("unknown name: %+v, %v", answer, err)
	}

	_, err = EnterMaintenance(s.site, time.Time{})
	must(t, err)
	for _, check := range []LoginCheck{trusting, elsewhere} {
		if answer, err := visit(check); err == nil || errors.Is(err, ErrNotChecked) || answer.Status != http.StatusServiceUnavailable {
			t.Errorf("closed: %+v, %v", answer, err)
		}
	}
	must(t, LeaveMaintenance(s.site, WasOpen))
	login := filepath.Join(s.DocRoot, "login/index.php")
	page, err := os.ReadFile(login)
	must(t, err)
	must(t, os.WriteFile(login, []byte("<?php require '../config.php'; setcookie('MoodleSession', 'x'); echo '<p>Exception - Call to undefined function</p>';"), 0o644))
	for _, check := range []LoginCheck{trusting, elsewhere} {
		if answer, err := visit(check); err == nil || errors.Is(err, ErrNotChecked) || answer.Status != http.StatusOK {
			t.Errorf("an error page with 200: %+v, %v", answer, err)
		}
	}
	must(t, os.WriteFile(login, page, 0o644))
	must(t, s.fpm.Close())
	if answer, err := visit(trusting); err == nil || errors.Is(err, ErrNotChecked) || answer.Status != http.StatusBadGateway {
		t.Errorf("no PHP-FPM: %+v, %v", answer, err)
	}
	must(t, s.web.Close())
	for _, check := range []LoginCheck{trusting, elsewhere} {
		if answer, err := visit(check); !errors.Is(err, ErrNotChecked) {
			t.Errorf("no nginx: %+v, %v", answer, err)
		}
	}
}

// What answers here to a name that leads elsewhere may be any server: nothing is concluded from it.
// TestCheckLoginAfterReload has a gateway that finds nobody behind it for two visits, as after a reload of PHP-FPM.
func TestCheckLoginAfterReload(t *testing.T) {
	t.Parallel()
	visits := 0
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if visits++; visits < 3 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: "MoodleSession", Value: "x"})
		_, _ = w.Write([]byte(`<body id="page-login-index">`))
	}))
	t.Cleanup(gateway.Close)
	site := &moodle.Site{Name: "site"}
	site.Config.WWWRoot = gateway.URL
	if answer, err := CheckLogin(t.Context(), site, LoginCheck{}); err != nil || answer.Status != http.StatusOK || visits != 3 {
		t.Errorf("%+v, %v after %d visits", answer, err, visits)
	}
}

func TestCheckLoginOfAnother(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.Host, "moodle.example:") {
			t.Errorf("asked for host %s", r.Host)
		}
		_, _ = w.Write([]byte("Welcome to nginx!"))
	}))
	defer server.Close()
	at, err := url.Parse(server.URL)
	must(t, err)
	site := &moodle.Site{Name: "lms", Config: moodle.PHPConfig{WWWRoot: "http://moodle.example:" + at.Port()}}
	_, err = CheckLogin(t.Context(), site, LoginCheck{Resolve: to("192.0.2.1")})
	if !errors.Is(err, ErrNotChecked) || !strings.Contains(err.Error(), "leads to another host") {
		t.Errorf("elsewhere: %v", err)
	}
	_, err = CheckLogin(t.Context(), site, LoginCheck{Resolve: to("192.0.2.1"), Own: []net.IP{net.ParseIP("192.0.2.1")}})
	if err == nil {
		t.Error("a name that leads here is reached at another address")
	}
}
