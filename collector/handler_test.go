package collector

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

func TestHandlerFilters(t *testing.T) {
	server := httptest.NewServer(New(discard(), time.Now, 0, steady("cpu"), steady("memory")).Handler(HandlerOptions{}))
	t.Cleanup(server.Close)
	for _, test := range []struct {
		query, want, wantNot string
		status               int
	}{
		{"", `{from="memory"}`, "no such thing", 200},
		{"?collect[]=cpu", `{from="cpu"}`, `from="memory"`, 200},
		{"?collect[]=cpu&collect[]=memory", `{from="memory"}`, "no such thing", 200},
		{"?exclude[]=cpu", `{from="memory"}`, `from="cpu"`, 200},
		{"?collect[]=database", `unknown or disabled collector: "database"`, "cpu", 400},
		{"?exclude[]=cpu&exclude[]=", `unknown or disabled collector: ""`, "moodle", 400},
		{"?collect[]=cpu&exclude[]=memory", "cannot be used together", "moodle", 400},
		{"?name[]=moodle_exporter_build_info", "moodle_exporter_build_info{", "moodle_test", 200},
	} {
		status, body, _ := get(t, server.URL+test.query, nil)
		if status != test.status || !strings.Contains(body, test.want) || strings.Contains(body, test.wantNot) {
			t.Errorf("%q: %d %s", test.query, status, body)
		}
	}
}

func get(t *testing.T, url string, header http.Header) (status int, body string, contentType string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header = header
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	var text bytes.Buffer
	if _, err := text.ReadFrom(response.Body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, text.String(), response.Header.Get("Content-Type")
}

func TestHandlerFormats(t *testing.T) {
	e := New(discard(), time.Now, 0, steady("cpu"))
	if err := e.Register(prometheus.NewGauge(prometheus.GaugeOpts{Name: "moodle_plain", Help: "Plain."})); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(e.Handler(HandlerOptions{}))
	t.Cleanup(server.Close)
	_, body, contentType := get(t, server.URL, http.Header{"Accept": {"application/openmetrics-text;version=1.0.0"}})
	if !strings.HasPrefix(contentType, "application/openmetrics-text") || !strings.HasSuffix(body, "# EOF\n") {
		t.Errorf("no OpenMetrics: %s", contentType)
	}
	_, body, _ = get(t, server.URL, nil)
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"moodle_exporter_build_info", "moodle_plain", "go_goroutines", "process_open_fds",
		"promhttp_metric_handler_requests_total", "promhttp_metric_handler_errors_total", "moodle_scrape_collector_success"} {
		if families[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
	lint(t, prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return e.Gather(t.Context()) }))
	bare := httptest.NewServer(e.Handler(HandlerOptions{DisableExporterMetrics: true}))
	t.Cleanup(bare.Close)
	if _, body, _ := get(t, bare.URL, nil); strings.Contains(body, "go_goroutines") || !strings.Contains(body, "build_info") {
		t.Errorf("without exporter metrics: %s", body)
	}
}

func TestHandlerLimitsRequests(t *testing.T) {
	entered, release := make(chan struct{}, 1), make(chan struct{})
	e := New(discard(), time.Now, 0, fake{"slow", func(context.Context, Emit) error {
		entered <- struct{}{}
		<-release
		return nil
	}})
	server := httptest.NewServer(e.Handler(HandlerOptions{MaxRequests: 1}))
	t.Cleanup(server.Close)
	var first sync.WaitGroup
	first.Go(func() {
		if status, body, _ := get(t, server.URL, nil); status != http.StatusOK {
			t.Errorf("first request: %d %s", status, body)
		}
	})
	<-entered
	if status, body, _ := get(t, server.URL, nil); status != http.StatusServiceUnavailable || !strings.Contains(body, "limit") {
		t.Errorf("second request: %d %s", status, body)
	}
	close(release)
	first.Wait()
	if status, _, _ := get(t, server.URL, nil); status != http.StatusOK {
		t.Errorf("the place was not given back: %d", status)
	}
}

func TestHandlerGivesTheDeadlineOfTheHeader(t *testing.T) {
	var left time.Duration
	e := New(discard(), time.Now, 500*time.Millisecond, fake{"curious", func(ctx context.Context, _ Emit) error {
		deadline, _ := ctx.Deadline()
		left = time.Until(deadline)
		return nil
	}})
	server := httptest.NewServer(e.Handler(HandlerOptions{}))
	t.Cleanup(server.Close)
	for header, want := range map[string]time.Duration{
		"": 9500 * time.Millisecond, "5": 4500 * time.Millisecond, "60": 59500 * time.Millisecond,
		"0.6": 300 * time.Millisecond, "1e-9": 50 * time.Millisecond, "1e300": maxTimeout - 500*time.Millisecond, "+Inf": maxTimeout - 500*time.Millisecond,
		"NaN": 9500 * time.Millisecond, "-3": 9500 * time.Millisecond, "0": 9500 * time.Millisecond, "soon": 9500 * time.Millisecond,
	} {
		get(t, server.URL, http.Header{timeoutHeader: {header}})
		// The collector's own deadline is a little earlier: see subject.join.
		if left > want || left < want*4/5-50*time.Millisecond {
			t.Errorf("header %q: %v left, want about %v", header, left, want)
		}
	}
}
