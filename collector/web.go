package collector

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"sync"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/loginpage"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

const (
	webCadence = time.Minute
	// webTime is how long a login page may take, with all redirects: nobody waits longer.
	webTime = 10 * time.Second
)

var (
	webSuccess = desc("web_probe", "success",
		"1 if a visitor got the login page at the site's address in the last minute, over a connection that a browser would trust, or was sent on from it to a single sign-on elsewhere.", "site")
	webStatus   = desc("web_probe", "status_code", "HTTP status of the last answer; absent if there was none.", "site")
	webDuration = desc("web_probe", "duration_seconds", "Time that the last visit took, whether it got the page or not.", "site")
	webPhase    = desc("web_probe", "phase_duration_seconds",
		"Time of the last visit by phase, over all redirects: resolve, connect, tls, processing (until the first byte of the answer), transfer. A phase that did not come about is absent; one that did not end lasts until the visit was given up.", "site", "phase")
	webTimestamp = desc("web_probe", "timestamp_seconds", "When the last visit ended, as Unix time.", "site")
)

// WebOptions is what a Web collector looks at and with.
type WebOptions struct {
	Sites func() []*moodle.Site // the current sites
	// Roots are the certificate authorities to trust, nil for those of the host.
	Roots  *x509.CertPool
	Clock  func() time.Time
	Logger *slog.Logger
}

// Web visits the login page of each site as a user would: by the name in wwwroot, by the host's resolver and hosts file,
// without a proxy, and not over a connection that a browser would refuse. The visits are made in the background, by Run.
//
// A certificate that has expired, is not for the name or leads to no trusted root makes the visit fail, as it keeps
// users out; which it is, the collector certificate tells. So does a missing intermediate certificate, which only some
// browsers make good. Each site keeps its cookies, so that Moodle makes one guest session and not one for each visit.
type Web struct {
	WebOptions
	visits    *rounds[visit]
	transport *http.Transport
	time      time.Duration // for one visit

	mu     sync.Mutex
	jars   map[string]http.CookieJar // by wwwroot
	health map[string]*health        // by site
}

// NewWeb makes the collector; Run starts its visits.
func NewWeb(o WebOptions) *Web {
	w := &Web{WebOptions: o, transport: loginpage.NewTransport(o.Roots), time: webTime, jars: map[string]http.CookieJar{}, health: map[string]*health{}}
	w.visits = newRounds("web", webCadence, webCadence, webTime+time.Second, o.Sites, o.Clock, w.visit)
	return w
}

// Name implements Collector.
func (*Web) Name() string { return "web" }

// Run makes the visits at once and then every minute, until ctx ends.
func (w *Web) Run(ctx context.Context) { w.visits.refresher.Run(ctx) }

// Refresh makes the visits once, for a caller that does not stay.
func (w *Web) Refresh(ctx context.Context) { w.visits.refresher.Refresh(ctx) }

// visit visits one site. A site that cannot be visited is no error of the collector's, and logged when that starts and ends.
func (w *Web) visit(ctx context.Context, site *moodle.Site) (visit, error) {
	jar, log := w.of(site)
	timed, cancel := context.WithTimeout(ctx, w.time)
	defer cancel()
	v := visitLogin(timed, site.Config.WWWRoot, w.transport, jar, w.Clock)
	if errors.Is(ctx.Err(), context.Canceled) {
		return v, ctx.Err() //nolint:wrapcheck // the round is not counted
	}
	log.report(v.err)
	return v, nil
}

// of is what is kept of a site from visit to visit.
func (w *Web) of(site *moodle.Site) (http.CookieJar, *health) {
	w.mu.Lock()
	defer w.mu.Unlock()
	address := site.Config.WWWRoot
	if w.jars[address] == nil {
		w.jars[address], _ = cookiejar.New(nil) // has no error without options
	}
	if w.health[site.Name] == nil {
		w.health[site.Name] = &health{logger: w.Logger.With("collector", w.Name(), "site", site.Name), clock: w.Clock}
	}
	return w.jars[address], w.health[site.Name]
}

// Update implements Collector. A visit of long ago is no success: something keeps this program from making others.
func (w *Web) Update(_ context.Context, emit Emit) error {
	now := w.Clock()
	for _, site := range w.Sites() {
		last, made := w.visits.refresher.Last().Value[site.Name]
		if !made {
			continue
		}
		fresh := now.Sub(last.Success).Abs() < 3*webCadence
		emit.gauge(webSuccess, flag(fresh && last.Err == nil && last.Value.err == nil), site.Name)
		emit.when(webTimestamp, last.Success, site.Name)
		if !fresh {
			continue
		}
		emit.gauge(webDuration, last.Value.duration.Seconds(), site.Name)
		if last.Value.status > 0 {
			emit.gauge(webStatus, float64(last.Value.status), site.Name)
		}
		for phase, took := range last.Value.phases {
			emit.gauge(webPhase, took.Seconds(), site.Name, phase)
		}
	}
	return w.visits.emit(emit, func(*moodle.Site, visit) {})
}
