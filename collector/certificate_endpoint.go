package collector

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/certificate"
)

// handshakeTime is how long an endpoint may take from the look-up of its name to the end of the TLS handshake.
const handshakeTime = 10 * time.Second

// endpoint is what a TLS server showed.
type endpoint struct {
	// err is why the last handshake failed.
	err error
	// seen is the server's own certificate, of an earlier handshake if the last one failed; nil if there was none.
	seen *certificate.Summary
	// chainValid and hostMatch are verdicts of the last handshake.
	chainValid, hostMatch bool
}

// lookAll looks at the targets side by side. A target that cannot be reached keeps the certificate it had before:
// it expires all the same.
func lookAll(ctx context.Context, targets []string, before map[string]endpoint, roots *x509.CertPool, now time.Time) map[string]endpoint {
	var (
		all sync.WaitGroup
		mu  sync.Mutex
	)
	found := make(map[string]endpoint, len(targets))
	for _, target := range targets {
		all.Go(func() {
			state, err := handshake(ctx, target)
			result := judge(state, host(target), roots, now)
			if err != nil {
				result = endpoint{err: err, seen: before[target].seen}
			}
			mu.Lock()
			defer mu.Unlock()
			found[target] = result
		})
	}
	all.Wait()
	return found
}

// handshake takes the server's certificates whatever they are worth: an expired one is what we are here to tell of.
func handshake(ctx context.Context, target string) (tls.ConnectionState, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTime)
	defer cancel()
	dialer := tls.Dialer{Config: &tls.Config{
		ServerName:         host(target),
		InsecureSkipVerify: true, //nolint:gosec // nothing is sent or believed; judge verifies
	}}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(host(target), port(target)))
	if err != nil {
		return tls.ConnectionState{}, fmt.Errorf("TLS handshake with %s: %w", target, err)
	}
	defer func() { _ = conn.Close() }()
	return conn.(*tls.Conn).ConnectionState(), nil
}

// judge says what a client with these roots would think of the server, at the time now.
func judge(state tls.ConnectionState, hostname string, roots *x509.CertPool, now time.Time) endpoint {
	if len(state.PeerCertificates) == 0 {
		return endpoint{}
	}
	leaf := state.PeerCertificates[0]
	intermediates := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		intermediates.AddCert(c)
	}
	_, invalid := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: intermediates, CurrentTime: now})
	summary := certificate.Summarize(leaf)
	return endpoint{seen: &summary, chainValid: invalid == nil, hostMatch: leaf.VerifyHostname(hostname) == nil}
}

// host is the name or address in host:port; a target without a port is all host.
func host(target string) string {
	if name, _, err := net.SplitHostPort(target); err == nil {
		return name
	}
	return strings.Trim(target, "[]")
}

func port(target string) string {
	if _, number, err := net.SplitHostPort(target); err == nil && number != "" {
		return number
	}
	return "443"
}
