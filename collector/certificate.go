package collector

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/moodle-exporter/moodle-exporter/internal/certificate"
)

const (
	certificateCadence = time.Minute
	fromEndpoint       = "endpoint"
	fromFile           = "file"
)

var (
	certificateNotAfter   = certificateDesc("not_after_timestamp_seconds", "When the certificate expires, as Unix time.")
	certificateNotBefore  = certificateDesc("not_before_timestamp_seconds", "When the certificate becomes valid, as Unix time.")
	certificateDaysLeft   = certificateDesc("days_left", "Whole days until the certificate expires, negative once it has.")
	certificateInfo       = desc("certificate", "info", "Whose certificate it is.", "target", "source", "subject", "issuer", "serial")
	certificateProbe      = endpointDesc("probe_success", "1 if the last TLS handshake, at most a minute ago, gave a certificate. With 0, dates are those of an earlier one.")
	certificateChainValid = endpointDesc("chain_valid", "1 if the certificates sent lead to a root that this host trusts, and none has expired.")
	certificateHostname   = endpointDesc("hostname_match", "1 if the certificate is one for the target's name.")
)

func certificateDesc(name, help string) *prometheus.Desc {
	return desc("certificate", name, help, "target", "source")
}

func endpointDesc(name, help string) *prometheus.Desc {
	return desc("certificate", name, help, "target")
}

// CertificateOptions is what a Certificate collector looks at and with.
type CertificateOptions struct {
	// Endpoints gives the TLS servers, as host:port; 443 is the default port.
	Endpoints func() []string
	// Files gives certificates in files, as a reader with the right to open them has found them.
	Files func() ([]certificate.File, error)
	// Roots are the certificate authorities to trust, nil for those of the host.
	Roots  *x509.CertPool
	Clock  func() time.Time
	Logger *slog.Logger
}

// Certificate tells how long certificates last, as served and as files: a renewed file that the server has not taken
// up differs from what it serves. The handshakes are made in the background, by Run.
type Certificate struct {
	CertificateOptions
	refresher *Refresher[map[string]endpoint]
	health    map[string]*health // of each target; only the refresher uses it
}

// NewCertificate makes the collector; Run starts its handshakes.
func NewCertificate(o CertificateOptions) *Certificate {
	c := &Certificate{CertificateOptions: o, health: map[string]*health{}}
	c.refresher = NewRefresher(certificateCadence, handshakeTime+time.Second, o.Clock, c.look)
	return c
}

// Name implements Collector.
func (*Certificate) Name() string { return "certificate" }

// Run makes the handshakes at once and then every minute, until ctx ends.
func (c *Certificate) Run(ctx context.Context) { c.refresher.Run(ctx) }

// Refresh makes the handshakes once, for a caller that does not stay.
func (c *Certificate) Refresh(ctx context.Context) { c.refresher.Refresh(ctx) }

// look is one round of handshakes. A server that fails is no failure of the round, and logged when it starts and ends.
func (c *Certificate) look(ctx context.Context) (map[string]endpoint, error) {
	targets := c.Endpoints()
	found := lookAll(ctx, targets, c.refresher.Last().Value, c.Roots, c.Clock())
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil, ctx.Err() //nolint:wrapcheck // the program ends; the servers are not to blame
	}
	for target, e := range found {
		if c.health[target] == nil {
			c.health[target] = &health{logger: c.Logger.With("collector", c.Name(), "target", target), clock: c.Clock}
		}
		c.health[target].report(e.err)
	}
	return found, nil
}

// Update implements Collector.
func (c *Certificate) Update(_ context.Context, emit Emit) error {
	now := c.Clock()
	for target, e := range c.refresher.Last().Value {
		emit.gauge(certificateProbe, flag(e.err == nil), target)
		if e.err == nil {
			emit.gauge(certificateChainValid, flag(e.chainValid), target)
			emit.gauge(certificateHostname, flag(e.hostMatch), target)
		}
		if e.seen != nil {
			emitCertificate(emit, *e.seen, now, target, fromEndpoint)
		}
	}
	c.refresher.emit(emit, "", "certificates")

	files, err := c.Files()
	taken := map[string]bool{}
	for _, file := range files {
		if !taken[file.Path] {
			taken[file.Path] = true
			emitCertificate(emit, file.Summary, now, file.Path, fromFile)
		}
	}
	if err != nil {
		err = fmt.Errorf("read what is known of certificate files: %w", err)
	}
	return errors.Join(err, c.refresher.Overdue())
}

func emitCertificate(emit Emit, s certificate.Summary, now time.Time, target, source string) {
	emit.gauge(certificateNotAfter, float64(s.NotAfter.Unix()), target, source)
	emit.gauge(certificateNotBefore, float64(s.NotBefore.Unix()), target, source)
	emit.gauge(certificateDaysLeft, math.Floor(s.NotAfter.Sub(now).Hours()/24), target, source)
	emit.gauge(certificateInfo, 1, target, source, s.Subject, s.Issuer, s.Serial)
}
