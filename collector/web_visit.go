package collector

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/loginpage"
)

// visit is how a site answered a visitor.
type visit struct {
	status   int // 0: no answer
	duration time.Duration
	phases   map[string]time.Duration
	err      error // why the visitor has no login page
}

// visitLogin asks for the site's login page until ctx ends.
func visitLogin(ctx context.Context, wwwroot string, transport http.RoundTripper, jar http.CookieJar, clock func() time.Time) visit {
	begun := clock()
	phases := newPhaseTimer(clock)
	v := visit{}
	v.status, v.err = loginpage.Get(httptrace.WithClientTrace(ctx, phases.trace()), loginpage.Address(wwwroot), transport, jar)
	if v.err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		v.err = fmt.Errorf("no login page within %s: %w", clock().Sub(begun).Round(time.Second/10), v.err)
	}
	v.phases, v.duration = phases.stop(), clock().Sub(begun)
	return v
}
