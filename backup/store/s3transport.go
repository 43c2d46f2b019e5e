package store

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	dialTimeout = 30 * time.Second
	// unsentBytes is what the kernel may hold back of what was written to a connection. With its usual
	// megabytes a slow link would look stalled while they drain.
	unsentBytes = 128 << 10
	// writeChunk is what goes to the network between two looks at the bandwidth.
	writeChunk = 16 << 10
	idleConns  = 64
)

// transport is HTTP over connections that never hang and together keep to the bandwidth.
func (s *S3) transport() (http.RoundTripper, error) {
	authorities, err := authorities(s.options.CAFile)
	if err != nil {
		return nil, err
	}
	limit := newBandwidth(s.options.Bandwidth, s.options.Now, s.options.Sleep)
	dialer := &net.Dialer{Timeout: dialTimeout, Control: limitUnsent}
	var trip http.RoundTripper = &http.Transport{
		Proxy: http.ProxyFromEnvironment,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			plain, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return newConnection(plain, s.options.Stall, limit), nil
		},
		TLSClientConfig:     &tls.Config{RootCAs: authorities, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: dialTimeout,
		MaxIdleConns:        idleConns, MaxIdleConnsPerHost: idleConns, IdleConnTimeout: dialTimeout,
		DisableCompression: true, // what is stored is what is read
	}
	if s.options.Wrap != nil {
		trip = s.options.Wrap(trip)
	}
	return &clockReader{s, trip}, nil
}

// authorities are those that the host trusts and those in the file.
func authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	content, err := os.ReadFile(file) //nolint:gosec // the administrator names the file
	if err != nil {
		return nil, fmt.Errorf("backup.offsite.ca_file: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("backup.offsite.ca_file: %s holds no certificate in PEM", file)
	}
	return pool, nil
}

func limitUnsent(_, _ string, raw syscall.RawConn) error {
	// A kernel without the option only makes the judgement coarser.
	return raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentBytes)
	})
}

// clockReader compares the clocks with each answer.
type clockReader struct {
	store *S3
	http.RoundTripper
}

func (c *clockReader) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := c.RoundTripper.RoundTrip(request)
	if err == nil {
		if there, bad := http.ParseTime(response.Header.Get("Date")); bad == nil {
			c.store.skew.Store(int64(there.Sub(c.store.options.Now())))
		}
	}
	return response, err
}

// connection ends when no byte has moved in either direction for too long.
type connection struct {
	net.Conn
	stall  time.Duration
	limit  *bandwidth
	ctx    context.Context //nolint:containedctx // ends with Close; net.Conn has no room for one
	cancel context.CancelFunc
	moved  atomic.Int64 // when the last byte did, in Unix nanoseconds
	held   atomic.Int32 // who waits for the bandwidth
}

func newConnection(plain net.Conn, stall time.Duration, limit *bandwidth) *connection {
	c := &connection{Conn: plain, stall: stall, limit: limit}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.moved.Store(time.Now().UnixNano())
	return c
}

// quiet is when the connection counts as stalled, as things are. Waiting for the bandwidth is our own doing.
func (c *connection) quiet() time.Time {
	if c.held.Load() > 0 {
		c.moved.Store(time.Now().UnixNano())
	}
	return time.Unix(0, c.moved.Load()).Add(c.stall)
}

// Read reads. While a long upload goes on nothing comes back for a long time, which is no stall.
func (c *connection) Read(p []byte) (int, error) {
	for {
		if err := c.SetReadDeadline(c.quiet()); err != nil {
			return 0, err
		}
		n, err := c.Conn.Read(p)
		if n > 0 {
			return n, errors.Join(err, c.hold(n))
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if !time.Now().Before(c.quiet()) {
			return 0, fmt.Errorf("%w: no byte for %s", errStalled, c.stall)
		}
	}
}

// Write writes as fast as the bandwidth allows.
func (c *connection) Write(p []byte) (written int, err error) {
	for len(p) > 0 && err == nil {
		chunk := p[:min(len(p), writeChunk)]
		if err = c.hold(len(chunk)); err != nil {
			break
		}
		var n int
		for len(chunk) > 0 && err == nil {
			if err = c.SetWriteDeadline(c.quiet()); err != nil {
				break
			}
			n, err = c.Conn.Write(chunk)
			written, chunk, p = written+n, chunk[n:], p[n:]
			if n > 0 {
				c.moved.Store(time.Now().UnixNano())
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				err = nil
				if !time.Now().Before(c.quiet()) {
					err = fmt.Errorf("%w: no byte for %s", errStalled, c.stall)
				}
			}
		}
	}
	return written, err
}

// hold waits until n bytes may move.
func (c *connection) hold(n int) error {
	c.held.Add(1)
	err := c.limit.wait(c.ctx, n)
	c.moved.Store(time.Now().UnixNano())
	c.held.Add(-1)
	return err
}

// Close closes the connection, also for one who waits for the bandwidth.
func (c *connection) Close() error {
	c.cancel()
	return c.Conn.Close()
}
