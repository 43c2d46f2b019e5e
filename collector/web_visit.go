package collector

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Limits of what a site may send: the largest login pages have some 200 kB.
const (
	maxPage      = 2 << 20
	maxHeader    = 256 << 10
	maxRedirects = 10
)

// visit is how a site answered a visitor.
type visit struct {
	status   int // 0: no answer
	duration time.Duration
	phases   map[string]time.Duration
	err      error // why the visitor has no login page
}

// newTransport makes a transport that opens a connection for each request, as the first one of a user does.
func newTransport(roots *x509.CertPool) *http.Transport {
	return &http.Transport{
		DialContext:     (&net.Dialer{}).DialContext,
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		// No Proxy: the site's users do not come through this host's.
		ForceAttemptHTTP2: true, DisableKeepAlives: true, MaxResponseHeaderBytes: maxHeader,
	}
}

// visitLogin asks for the site's login page until ctx ends.
func visitLogin(ctx context.Context, wwwroot string, transport http.RoundTripper, jar http.CookieJar, clock func() time.Time) visit {
	begun := clock()
	phases := newPhaseTimer(clock)
	address := strings.TrimRight(wwwroot, "/") + "/login/index.php"
	v := visit{}
	v.status, v.err = getLogin(httptrace.WithClientTrace(ctx, phases.trace()), address, transport, jar)
	if v.err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		v.err = fmt.Errorf("no login page within %s: %w", clock().Sub(begun).Round(time.Second/10), v.err)
	}
	v.phases, v.duration = phases.stop(), clock().Sub(begun)
	return v
}

func getLogin(ctx context.Context, address string, transport http.RoundTripper, jar http.CookieJar) (status int, err error) {
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

// stayOnHost follows redirects on the site's own host, but not from https to http.
func stayOnHost(next *http.Request, via []*http.Request) error {
	first := via[0].URL
	if !strings.EqualFold(next.URL.Hostname(), first.Hostname()) || first.Scheme == "https" && next.URL.Scheme != "https" {
		return http.ErrUseLastResponse
	}
	if len(via) >= maxRedirects {
		return fmt.Errorf("more than %d redirects", maxRedirects)
	}
	return nil
}

// The parts of a login page that no language, and hardly a theme, changes: lib/templates/loginform.mustache, and the id
// that \moodle_page makes of the script's path, under which a login without a password (by buttons alone) is known, too.
var (
	loginBody     = regexp.MustCompile(`(?i)<body[^>]*\sid\s*=\s*["']?page-login-index["'\s>]`)
	usernameField = regexp.MustCompile(`(?i)<input[^>]*\sname\s*=\s*["']?username["'\s/>]`)
	passwordField = regexp.MustCompile(`(?i)<input[^>]*\stype\s*=\s*["']?password["'\s/>]`)
)

// judgePage says what is wrong with an answer.
func judgePage(answer *http.Response, page []byte, jar http.CookieJar) error {
	switch code := answer.StatusCode; {
	case code == http.StatusOK:
		if loginBody.Match(page) || usernameField.Match(page) && passwordField.Match(page) {
			return nil
		}
		return fmt.Errorf("the answer of %s is no login page of Moodle", withoutQuery(answer.Request.URL))
	case signsOnElsewhere(answer, jar):
		return nil
	case code >= 300 && code < 400:
		return fmt.Errorf("%s sends visitors to another place (%s), status %d", withoutQuery(answer.Request.URL), elsewhere(answer), code)
	default:
		return fmt.Errorf("%s answers %s", withoutQuery(answer.Request.URL), answer.Status)
	}
}

// signsOnElsewhere recognises a site that sends visitors on to an identity provider (SAML, CAS, OpenID Connect). That
// they got a session, or that the answer says so, shows that it was Moodle who sent them; where a web server was told
// that the site has moved, the redirect is a permanent one.
func signsOnElsewhere(answer *http.Response, jar http.CookieJar) bool {
	to, err := answer.Location()
	if err != nil || to.Scheme != "https" {
		return false
	}
	switch answer.StatusCode {
	case http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect:
	default:
		return false
	}
	if strings.HasPrefix(answer.Header.Get("X-Redirect-By"), "Moodle") {
		return true
	}
	for _, cookie := range jar.Cookies(answer.Request.URL) {
		if strings.HasPrefix(cookie.Name, "MoodleSession") {
			return true
		}
	}
	return false
}

// elsewhere is where an answer sends visitors.
func elsewhere(answer *http.Response) string {
	to, err := answer.Location()
	if err != nil {
		return "nowhere"
	}
	return withoutQuery(to)
}

// withoutQuery leaves out of an address what may hold secrets.
func withoutQuery(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
