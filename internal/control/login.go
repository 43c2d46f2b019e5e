package control

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/loginpage"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

const (
	loginCheck = "the visit to the login page"
	// loginTimeout is longer than any visitor waits: after a purge the first page builds the caches.
	loginTimeout = time.Minute
	// A web server may find nobody at a PHP-FPM that has just been reloaded: that is no answer of the site yet.
	gatewayTries, gatewayWait = 10, 500 * time.Millisecond
)

// LoginCheck is what CheckLogin needs beside the site. The zero value is for this host as it is.
type LoginCheck struct {
	// Roots are the certificate authorities to trust, nil for those of the host.
	Roots *x509.CertPool
	// Resolve finds the addresses of a name; nil for the host's resolver.
	Resolve func(ctx context.Context, host string) ([]net.IP, error)
	// Own are this host's addresses; nil for those of its interfaces.
	Own []net.IP
}

// LoginAnswer is how the site answered.
type LoginAnswer struct {
	Status int // of HTTP; 0 for no answer
	// Local says that the name in wwwroot leads elsewhere, to a proxy or to the site's old host, and this host was asked
	// under that name.
	Local bool
	// Certificate is why a browser would not trust the server; the page came over an untrusted connection then. Visitors
	// of a proxy do not see it.
	Certificate error
}

// CheckLogin asks this host for the site's login page, over HTTP, by the name and scheme of its wwwroot, and wants the
// page itself: no maintenance page, no error page. The zero answer with an ErrNotChecked means that nothing listens
// here, or that what does is not known to be the site. A certificate that is not trusted is told in the answer and no
// error: it is not the site that is broken.
func CheckLogin(ctx context.Context, site *moodle.Site, check LoginCheck) (LoginAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	address, err := url.Parse(loginpage.Address(site.Config.WWWRoot))
	if err != nil {
		return LoginAnswer{}, &NotCheckedError{loginCheck, err}
	}
	own := check.Own
	if own == nil {
		own = interfaceAddresses()
	}
	v := visitor{site: site, transport: loginpage.NewTransport(check.Roots), address: address.String()}
	v.answer.Local = !leadsHere(ctx, address.Hostname(), check.Resolve, own)
	if v.answer.Local {
		v.transport.DialContext = dialOwn(address.Hostname(), own)
	}
	err = v.visitUntilMet(ctx)
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		v.answer.Certificate = untrusted.Err
		v.transport.TLSClientConfig.InsecureSkipVerify = true // told in the answer, and nothing secret is sent
		err = v.visitUntilMet(ctx)
	}
	return v.answer, v.judge(ctx, err)
}

// visitor asks for one login page.
type visitor struct {
	site      *moodle.Site
	transport *http.Transport
	address   string
	answer    LoginAnswer
	moodle    bool // it was Moodle that answered
}

// visitUntilMet asks again while a gateway says that nobody is behind it.
func (v *visitor) visitUntilMet(ctx context.Context) error {
	for try := 1; ; try++ {
		err := v.visit(ctx)
		if gateway := v.answer.Status == http.StatusBadGateway || v.answer.Status == http.StatusGatewayTimeout; !gateway || try == gatewayTries {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(gatewayWait):
		}
	}
}

func (v *visitor) visit(ctx context.Context) (err error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	v.answer.Status, err = loginpage.Get(ctx, v.address, v.transport, jar)
	if at, parsed := url.Parse(v.address); parsed == nil {
		v.moodle = slices.ContainsFunc(jar.Cookies(at), func(cookie *http.Cookie) bool { return strings.HasPrefix(cookie.Name, "MoodleSession") })
	}
	return err
}

// judge tells a site that does not work from one that was not met.
func (v *visitor) judge(ctx context.Context, err error) error {
	var dialling *net.OpError
	switch {
	case err == nil:
		return nil
	case errors.Is(ctx.Err(), context.Canceled):
		return fmt.Errorf("check the login page of site %s: %w", v.site.Name, ctx.Err())
	case v.answer.Status == 0 && errors.As(err, &dialling) && dialling.Op == "dial":
		return &NotCheckedError{loginCheck, fmt.Errorf("nothing answers; is the web server running? %w", err)}
	case v.answer.Local && !v.moodle && v.answer.Status < http.StatusInternalServerError:
		return &NotCheckedError{loginCheck, fmt.Errorf("the name in %s leads to another host, and what answers to it on this one is not known to be the site: %w", v.site.Config.WWWRoot, err)}
	}
	return fmt.Errorf("check the login page of site %s: %w", v.site.Name, err)
}

// leadsHere says whether visitors of a name come to this host straight away.
func leadsHere(ctx context.Context, host string, resolve func(context.Context, string) ([]net.IP, error), own []net.IP) bool {
	if resolve == nil {
		resolve = func(ctx context.Context, host string) ([]net.IP, error) {
			return net.DefaultResolver.LookupIP(ctx, "ip", host)
		}
	}
	addresses := []net.IP{net.ParseIP(host)}
	if addresses[0] == nil {
		var err error
		if addresses, err = resolve(ctx, host); err != nil {
			return false
		}
	}
	return slices.ContainsFunc(addresses, func(ip net.IP) bool {
		return ip.IsLoopback() || slices.ContainsFunc(own, ip.Equal)
	})
}

// dialOwn connects to this host for the site's name, at loopback or else at one of its addresses, and to any other name
// as usual.
func dialOwn(site string, own []net.IP) func(ctx context.Context, network, address string) (net.Conn, error) {
	places := append([]net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, own...)
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		dialer := &net.Dialer{}
		host, port, err := net.SplitHostPort(address)
		if err != nil || !strings.EqualFold(host, site) {
			return dialer.DialContext(ctx, network, address)
		}
		var first error
		for _, place := range places {
			conn, err := dialer.DialContext(ctx, network, net.JoinHostPort(place.String(), port))
			if err == nil {
				return conn, nil
			}
			if first == nil {
				first = err
			}
		}
		return nil, first
	}
}

// interfaceAddresses are this host's addresses, none where they cannot be told.
func interfaceAddresses() (found []net.IP) {
	addresses, _ := net.InterfaceAddrs()
	for _, address := range addresses {
		if network, ok := address.(*net.IPNet); ok && !network.IP.IsLinkLocalUnicast() {
			found = append(found, network.IP)
		}
	}
	return found
}
