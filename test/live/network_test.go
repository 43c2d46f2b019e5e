package live_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync/atomic"
	"testing"
)

// unreliable passes requests on to the exporter over a network on which every third scrape is lost: no
// alert may depend on a single one. The exporter is told Prometheus's usual timeout, not the short one of
// the tests, in which a busy machine does not get to read its units. It returns its address.
func unreliable(t *testing.T, exporter string, transport http.RoundTripper) string {
	t.Helper()
	target, err := url.Parse(exporter)
	must(t, err)
	proxy := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", "10")
	}}
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, err error) {
		http.Error(w, err.Error(), http.StatusBadGateway)
	}
	var scrapes atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" && scrapes.Add(1)%3 == 0 {
			http.Error(w, "every third scrape is lost", http.StatusServiceUnavailable)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}
