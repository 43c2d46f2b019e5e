package collector

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/certificate"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// noon is the time of these tests; certificates are valid from a day before it.
var noon = time.Date(2030, 6, 1, 12, 0, 0, 0, time.UTC)

// authority signs certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// issue makes a certificate by a, or by itself if a is nil. The serial number tells them apart.
func (a *authority) issue(t *testing.T, serial int64, name string, ca bool, notAfter time.Time) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name, Organization: []string{"Uni, \"X\""}},
		NotBefore: noon.AddDate(0, 0, -1), NotAfter: notAfter, IsCA: ca, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	if !ca {
		template.DNSNames = []string{name}
	}
	if a == nil {
		a = &authority{certificate: template, key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.certificate, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{parsed, key}
}

// serveTLS shows the chain on a loopback port and returns localhost:port.
func serveTLS(t *testing.T, leaf *authority, chain ...*authority) (target string, listener net.Listener) {
	t.Helper()
	shown := tls.Certificate{Certificate: [][]byte{leaf.certificate.Raw}, PrivateKey: leaf.key}
	for _, c := range chain {
		shown.Certificate = append(shown.Certificate, c.certificate.Raw)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{shown}, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	stand.Answer(t, listener, func(c net.Conn) { _ = c.(*tls.Conn).Handshake() })
	return "localhost:" + strconv.Itoa(listener.Addr().(*net.TCPAddr).Port), listener
}

func noFiles() ([]certificate.File, error) { return nil, nil }

// newCertificate makes a collector whose time is noon.
func newCertificate(root *authority, targets []string, files func() ([]certificate.File, error)) *Certificate {
	roots := x509.NewCertPool()
	if root != nil {
		roots.AddCert(root.certificate)
	}
	return NewCertificate(CertificateOptions{
		Endpoints: func() []string { return targets }, Files: files, Roots: roots,
		Clock: func() time.Time { return noon }, Logger: discard(),
	})
}

func TestCertificatesOfEndpoints(t *testing.T) {
	year := noon.AddDate(1, 0, 0)
	var self *authority
	root := self.issue(t, 1, "Root", true, year)
	between := root.issue(t, 2, "Between", true, year)
	expiredBetween := root.issue(t, 3, "Between", true, noon.Add(-time.Hour))
	for _, test := range []struct {
		name               string
		leaf               *authority
		chain              []*authority
		valid, match, days float64
	}{
		{"good", between.issue(t, 16, "localhost", false, noon.Add(30*24*time.Hour+time.Minute)), []*authority{between}, 1, 1, 30},
		{"missing intermediate", between.issue(t, 16, "localhost", false, noon.Add(30*24*time.Hour-time.Second)), nil, 0, 1, 29},
		{"expired", between.issue(t, 16, "localhost", false, noon.Add(-time.Second)), []*authority{between}, 0, 1, -1},
		{"expired intermediate", expiredBetween.issue(t, 16, "localhost", false, year), []*authority{expiredBetween}, 0, 1, 365},
		{"wrong host", between.issue(t, 16, "other.example.org", false, noon.Add(time.Hour)), []*authority{between}, 1, 0, 0},
		{"self-signed", self.issue(t, 16, "localhost", false, year), nil, 0, 1, 365},
	} {
		t.Run(test.name, func(t *testing.T) {
			target, _ := serveTLS(t, test.leaf, test.chain...)
			c := newCertificate(root, []string{target, target}, noFiles)
			c.Refresh(t.Context())
			got, err := seriesOf(t, c)
			if err != nil {
				t.Error(err)
			}
			shown := test.leaf.certificate
			wantValues(t, got, map[string]float64{
				"certificate_probe_success{" + target + "}": 1, "certificate_chain_valid{" + target + "}": test.valid,
				"certificate_hostname_match{" + target + "}":                                                                                     test.match,
				"certificate_days_left{endpoint," + target + "}":                                                                                 test.days,
				"certificate_not_after_timestamp_seconds{endpoint," + target + "}":                                                               float64(shown.NotAfter.Unix()),
				"certificate_not_before_timestamp_seconds{endpoint," + target + "}":                                                              float64(noon.AddDate(0, 0, -1).Unix()),
				"refresh_last_success_timestamp_seconds{,certificates}":                                                                          float64(noon.Unix()),
				"certificate_info{" + strings.Join([]string{shown.Issuer.String(), "10", "endpoint", shown.Subject.String(), target}, ",") + "}": 1,
			})
		})
	}
}

func TestEndpointThatFailsKeepsItsDatesButNotItsVerdicts(t *testing.T) {
	var self *authority
	target, listener := serveTLS(t, self.issue(t, 1, "localhost", false, noon.AddDate(0, 0, 5)))
	c := newCertificate(nil, []string{target, "localhost:1"}, noFiles)
	c.Refresh(t.Context())
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	c.Clock = func() time.Time { return noon.AddDate(0, 0, 2) }
	c.Refresh(t.Context())
	got, err := seriesOf(t, c)
	if err != nil {
		t.Error(err)
	}
	wantValues(t, got, map[string]float64{
		"certificate_probe_success{" + target + "}": 0, "certificate_days_left{endpoint," + target + "}": 3,
		"certificate_probe_success{localhost:1}": 0,
	})
	for _, series := range []string{
		"certificate_chain_valid{" + target + "}", "certificate_hostname_match{" + target + "}", "certificate_days_left{endpoint,localhost:1}",
	} {
		if _, there := got[series]; there {
			t.Errorf("%s should be absent", series)
		}
	}
}

func TestServersThatNeverAnswer(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = silent.Close() })
	var self *authority
	good, _ := serveTLS(t, self.issue(t, 1, "localhost", false, noon.AddDate(0, 0, 5)))
	c := newCertificate(nil, []string{silent.Addr().String(), good}, noFiles)
	c.refresher.timeout = 200 * time.Millisecond
	before := runtime.NumGoroutine()
	for range 5 {
		c.Refresh(t.Context())
	}
	got, err := seriesOf(t, c)
	if err != nil {
		t.Error(err)
	}
	wantValues(t, got, map[string]float64{
		"certificate_probe_success{" + silent.Addr().String() + "}": 0, "certificate_probe_success{" + good + "}": 1,
	})
	waitFor(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= before })
}

func TestCertificatesInFiles(t *testing.T) {
	file := certificate.File{Path: "/etc/x.pem", Summary: certificate.Summary{
		NotBefore: noon.AddDate(0, 0, -1), NotAfter: noon.Add(25 * time.Hour), Subject: "CN=x", Issuer: "CN=y", Serial: "0a",
	}}
	c := newCertificate(nil, nil, func() ([]certificate.File, error) { return []certificate.File{file, file}, nil })
	wantText(t, c, `
# HELP moodle_certificate_days_left Whole days until the certificate expires, negative once it has.
# TYPE moodle_certificate_days_left gauge
moodle_certificate_days_left{source="file",target="/etc/x.pem"} 1
# HELP moodle_certificate_info Whose certificate it is.
# TYPE moodle_certificate_info gauge
moodle_certificate_info{issuer="CN=y",serial="0a",source="file",subject="CN=x",target="/etc/x.pem"} 1
# HELP moodle_certificate_not_after_timestamp_seconds When the certificate expires, as Unix time.
# TYPE moodle_certificate_not_after_timestamp_seconds gauge
moodle_certificate_not_after_timestamp_seconds{source="file",target="/etc/x.pem"} 1.9066356e+09
# HELP moodle_certificate_not_before_timestamp_seconds When the certificate becomes valid, as Unix time.
# TYPE moodle_certificate_not_before_timestamp_seconds gauge
moodle_certificate_not_before_timestamp_seconds{source="file",target="/etc/x.pem"} 1.9064592e+09
`)
	stale := errors.New("facts are stale")
	c.Files = func() ([]certificate.File, error) { return []certificate.File{file}, stale }
	got, err := seriesOf(t, c)
	if !errors.Is(err, stale) || got["certificate_days_left{file,/etc/x.pem}"] != 1 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestTargets(t *testing.T) {
	for target, want := range map[string]string{
		"lms.example.org:443": "lms.example.org 443", "lms.example.org": "lms.example.org 443", "lms.example.org:": "lms.example.org 443",
		"[::1]:8443": "::1 8443", "[::1]": "::1 443", "::1": "::1 443", "127.0.0.1:1": "127.0.0.1 1",
	} {
		if got := host(target) + " " + port(target); got != want {
			t.Errorf("%s is %s, want %s", target, got, want)
		}
	}
}

func TestRefresher(t *testing.T) {
	now, broken, calls := noon, error(nil), 0
	r := NewRefresher(time.Minute, time.Second, func() time.Time { return now }, func(ctx context.Context) (int, error) {
		calls++
		if _, limited := ctx.Deadline(); !limited {
			t.Error("a read without a deadline")
		}
		if calls == 4 {
			panic("oh")
		}
		return calls, broken
	})
	if err := r.Overdue(); err != nil {
		t.Errorf("overdue before the first read: %v", err)
	}
	r.Refresh(t.Context())
	broken = errors.New("gone")
	now = now.Add(time.Minute)
	r.Refresh(t.Context())
	if last := r.Last(); last.Value != 1 || !last.Success.Equal(noon) || !errors.Is(last.Err, broken) || !errors.Is(r.Overdue(), broken) {
		t.Errorf("after an error: %+v", last)
	}
	broken = nil
	r.Refresh(t.Context())
	if last := r.Last(); last.Value != 3 || !last.Success.Equal(now) || r.Overdue() != nil {
		t.Errorf("after it is mended: %+v", last)
	}
	r.Refresh(t.Context())
	if last := r.Last(); last.Value != 3 || last.Err == nil || !strings.Contains(last.Err.Error(), "panic: oh") {
		t.Errorf("after a panic: %+v", last)
	}
	r.last.Err = nil
	now = now.Add(3 * time.Minute)
	if err := r.Overdue(); err == nil {
		t.Error("a refresher that has stopped is not overdue")
	}
}

func TestRefresherRunsUntilItsContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	reads := make(chan struct{})
	r := NewRefresher(time.Millisecond, time.Second, time.Now, func(context.Context) (int, error) {
		reads <- struct{}{}
		return 0, fmt.Errorf("never")
	})
	ended := make(chan struct{})
	go func() { r.Run(ctx); close(ended) }()
	for range 3 {
		<-reads
	}
	cancel()
	for {
		select {
		case <-reads: // one that had begun
		case <-ended:
			return
		}
	}
}
