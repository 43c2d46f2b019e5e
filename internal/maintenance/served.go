package maintenance

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"time"
)

const (
	servedWithin = 5 * time.Second
	servedPause  = 250 * time.Millisecond
)

// compare says whether an endpoint serves the newest certificate that is here for its name. One for which there is none
// here has its certificate elsewhere, on a load balancer perhaps.
func (c Certificates) compare(ctx context.Context, logger *slog.Logger, endpoint string, leaves map[string]*x509.Certificate) error {
	host, _, err := net.SplitHostPort(endpoint)
	if err != nil {
		return fmt.Errorf("look at what %s serves: %w", endpoint, err)
	}
	file, newest := "", (*x509.Certificate)(nil)
	for path, leaf := range leaves {
		if leaf.VerifyHostname(host) == nil && (newest == nil || leaf.NotAfter.After(newest.NotAfter)) {
			file, newest = path, leaf
		}
	}
	if newest == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, servedWithin)
	defer cancel()
	for { // a server that was just reloaded may serve the old one for a moment
		served, err := c.served(ctx, endpoint, host)
		if err == nil && bytes.Equal(served.Raw, newest.Raw) {
			logger.Info("served as it is on disk", "endpoint", endpoint, "until", newest.NotAfter)
			return nil
		}
		select {
		case <-ctx.Done():
			if served != nil {
				err = fmt.Errorf("it serves serial %x, valid until %s, and %s holds serial %x, valid until %s: its server has not read the file; reload it, or look at what it reads",
					served.SerialNumber, served.NotAfter.Format(time.DateOnly), file, newest.SerialNumber, newest.NotAfter.Format(time.DateOnly))
			}
			return fmt.Errorf("look at what %s serves: %w", endpoint, err)
		case <-time.After(servedPause):
		}
	}
}

func (c Certificates) served(ctx context.Context, endpoint, host string) (*x509.Certificate, error) {
	raw, err := c.Dial(ctx, "tcp", endpoint)
	if err != nil {
		return nil, err //nolint:wrapcheck // wrapped with the endpoint
	}
	defer func() { _ = raw.Close() }()
	// The certificate is compared byte for byte with the file; whether it is trusted is what the watching tells.
	conn := tls.Client(raw, &tls.Config{ServerName: host, InsecureSkipVerify: true}) //nolint:gosec // nothing is sent over it
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, err //nolint:wrapcheck // wrapped with the endpoint
	}
	return conn.ConnectionState().PeerCertificates[0], nil
}
