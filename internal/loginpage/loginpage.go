// Package loginpage asks a Moodle site for its login page as a visitor does, and says whether that is what came.
package loginpage

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// Limits of what a site may send: the largest login pages have some 200 kB.
const (
	maxPage      = 2 << 20
	maxHeader    = 256 << 10
	maxRedirects = 10
)

// Address is the login page of the site at wwwroot.
func Address(wwwroot string) string { return strings.TrimRight(wwwroot, "/") + "/login/index.php" }

// NewTransport makes a transport that opens a connection for each request, as the first one of a user does. It trusts
// roots, or those of the host where they are nil.
func NewTransport(roots *x509.CertPool) *http.Transport {
	return &http.Transport{
		DialContext:     (&net.Dialer{}).DialContext,
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		// No Proxy: the site's users do not come through this host's.
		ForceAttemptHTTP2: true, DisableKeepAlives: true, MaxResponseHeaderBytes: maxHeader,
	}
}

// Get asks for the login page at an address until ctx ends, following redirects on the same host. status is that of the
// last answer, 0 for none; err is why a visitor has no login page.
func Get(ctx context.Context, address string, transport http.RoundTripper, jar http.CookieJar) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, err
	}
	request.Header.Set("User-Agent", "moodle-exporter (web probe)")
	client := &http.Client{Transport: transport, Jar: jar, CheckRedirect: stayOnHost}
	answer, err := client.Do(request)
	if answer != nil { // with an error it is the one before too many redirects, its body closed
		status = answer.StatusCode
	}
	if err != nil {
		var failure *url.Error
		if errors.As(err, &failure) {
			err = failure.Err // without the address, which may hold secrets after a redirect
		}
		return status, fmt.Errorf("visit the login page %s: %w", address, err)
	}
	defer func() { _ = answer.Body.Close() }()
	page, err := io.ReadAll(io.LimitReader(answer.Body, maxPage+1))
	switch {
	case err != nil:
		return status, fmt.Errorf("visit the login page %s: the answer breaks off: %w", address, err)
	case len(page) > maxPage:
		return status, fmt.Errorf("visit the login page %s: the answer is larger than %d bytes, which no login page is", address, maxPage)
	}
	return status, judgePage(answer, page, jar)
}
