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
// alert may depend on a single one. It returns its address.
func unreliable(t *testing.T, exporter string, transport http.RoundTripper) string {
	t.Helper()
	target, err := url.Parse(exporter)
	must(t, err)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, Transport: transport}
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
