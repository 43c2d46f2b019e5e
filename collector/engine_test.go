package collector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// fake is a collector made of a function.
type fake struct {
	name   string
	update func(ctx context.Context, emit Emit) error
}

func (f fake) Name() string                                { return f.name }
func (f fake) Update(ctx context.Context, emit Emit) error { return f.update(ctx, emit) }

var fakeDesc = desc("test", "value", "A value.", "from")

// steady emits one sample and succeeds.
func steady(name string) fake {
	return fake{name, func(_ context.Context, emit Emit) error {
		emit.gauge(fakeDesc, 1, name)
		return nil
	}}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// values gives each sample of the families as name{label values} -> value.
func values(families []*dto.MetricFamily) map[string]float64 {
	found := map[string]float64{}
	for _, family := range families {
		for _, m := range family.Metric {
			labels := make([]string, 0, len(m.Label))
			for _, l := range m.Label {
				labels = append(labels, l.GetValue())
			}
			found[strings.TrimPrefix(family.GetName(), "moodle_")+"{"+strings.Join(labels, ",")+"}"] = number(m)
		}
	}
	return found
}

func number(m *dto.Metric) float64 {
	switch {
	case m.Gauge != nil:
		return m.Gauge.GetValue()
	case m.Counter != nil:
		return m.Counter.GetValue()
	}
	return m.Untyped.GetValue()
}

func gatherValues(t *testing.T, e *Engine, timeout time.Duration) map[string]float64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	families, err := e.Gather(ctx)
	if err != nil {
		t.Errorf("gather: %v", err)
	}
	return values(families)
}

// waitFor polls until the condition holds.
func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for: %s", what)
		}
	}
}

func wantValues(t *testing.T, got map[string]float64, want map[string]float64) {
	t.Helper()
	for series, value := range want {
		if g, there := got[series]; !there || g != value {
			t.Errorf("%s is %v (there: %v), want %v", series, g, there, value)
		}
	}
}

func TestEveryCollectorHasAVerdictAndNoneHurtsAnother(t *testing.T) {
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	twice := desc("test", "twice", "Twice.", "a")
	e := New(discard(), time.Now, 0,
		steady("good"),
		fake{"failing", func(_ context.Context, emit Emit) error {
			emit.gauge(fakeDesc, 2, "failing")
			return errors.New("half of it is gone")
		}},
		fake{"panicking", func(_ context.Context, emit Emit) error {
			emit.gauge(fakeDesc, 3, "panicking")
			panic("oh")
		}},
		fake{"hanging", func(_ context.Context, emit Emit) error {
			emit.gauge(fakeDesc, 4, "hanging")
			<-release
			return nil
		}},
		fake{"obedient", func(ctx context.Context, emit Emit) error {
			emit.gauge(fakeDesc, 5, "obedient")
			<-ctx.Done()
			return ctx.Err()
		}},
		fake{"duplicate", func(_ context.Context, emit Emit) error {
			emit.gauge(twice, 6, "x")
			emit.gauge(twice, 7, "x")
			emit.gauge(twice, 8, "y")
			return nil
		}},
		fake{"bad labels", func(_ context.Context, emit Emit) error {
			emit.gauge(fakeDesc, 9, "too", "many")
			return nil
		}},
		fake{"nil metric", func(_ context.Context, emit Emit) error {
			emit(nil)
			return nil
		}},
		fake{"gone", func(context.Context, Emit) error {
			runtime.Goexit()
			return nil
		}},
	)
	got := gatherValues(t, e, 300*time.Millisecond)
	wantValues(t, got, map[string]float64{
		"test_value{good}": 1, "test_value{failing}": 2, "test_value{panicking}": 3, "test_value{obedient}": 5,
		"test_twice{x}": 6, "test_twice{y}": 8,
		"scrape_collector_success{good}": 1, "scrape_collector_success{failing}": 0,
		"scrape_collector_success{panicking}": 0, "scrape_collector_success{hanging}": 0,
		"scrape_collector_success{obedient}": 0, "scrape_collector_success{duplicate}": 0,
		"scrape_collector_success{bad labels}": 0, "scrape_collector_success{nil metric}": 1,
		"scrape_collector_success{gone}": 0,
	})
	if _, there := got["test_value{hanging}"]; there {
		t.Error("a run that was not back in time is on the page")
	}
	for _, s := range e.enabled() {
		if _, there := got["scrape_collector_duration_seconds{"+s.collector.Name()+"}"]; !there {
			t.Errorf("no duration of %s", s.collector.Name())
		}
	}
}

func TestSeriesOfTwoCollectorsThatCollideCostOnlyTheSecond(t *testing.T) {
	second := fake{"second", func(_ context.Context, emit Emit) error {
		emit.gauge(fakeDesc, 2, "first")
		emit.gauge(fakeDesc, 2, "second")
		return nil
	}}
	e := New(discard(), time.Now, 0, steady("first"), second)
	families, err := e.Gather(t.Context())
	if err == nil || !strings.Contains(err.Error(), "collected before") {
		t.Errorf("error is %v", err)
	}
	wantValues(t, values(families), map[string]float64{"test_value{first}": 1, "test_value{second}": 2})
}

func TestHangingCollectorIsNotStartedAgain(t *testing.T) {
	var calls atomic.Int32
	release := make(chan struct{})
	e := New(discard(), time.Now, 0, steady("good"), fake{"hanging", func(_ context.Context, emit Emit) error {
		calls.Add(1)
		<-release
		emit.gauge(fakeDesc, 1, "late")
		return nil
	}})
	// minPatience: a scrape this short does not by itself make the collector hung for others.
	gatherValues(t, e, minPatience)
	waitFor(t, "the run to count as hung", func() bool { return e.enabled()[1].current.hungNow() })

	before := runtime.NumGoroutine()
	for range 200 {
		wantValues(t, gatherValues(t, e, time.Hour), map[string]float64{
			"test_value{good}": 1, "scrape_collector_success{hanging}": 0,
		})
	}
	if n := calls.Load(); n != 1 {
		t.Errorf("Update was called %d times while it hung", n)
	}
	waitFor(t, "goroutines to end", func() bool { return runtime.NumGoroutine() <= before })

	close(release)
	waitFor(t, "the collector to work again", func() bool {
		return gatherValues(t, e, time.Hour)["scrape_collector_success{hanging}"] == 1
	})
}

func (r *run) hungNow() bool {
	select {
	case <-r.hung:
		return true
	default:
		return false
	}
}

func TestOverlappingScrapesShareOneRunAndBothGetData(t *testing.T) {
	var calls atomic.Int32
	entered, release := make(chan struct{}), make(chan struct{})
	e := New(discard(), time.Now, 0, fake{"slow", func(_ context.Context, emit Emit) error {
		if calls.Add(1) == 1 {
			close(entered)
		}
		<-release
		emit.gauge(fakeDesc, 1, "slow")
		return nil
	}})
	// The first client hangs up while the others wait for the run that it has started.
	impatient, hangUp := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() { _, _ = e.Gather(impatient) })
	<-entered
	results := make([]map[string]float64, 5)
	for i := range results {
		all.Go(func() { results[i] = gatherValues(t, e, time.Minute) })
	}
	hangUp()
	close(release)
	all.Wait()
	for _, got := range results {
		wantValues(t, got, map[string]float64{"test_value{slow}": 1, "scrape_collector_success{slow}": 1})
	}
}

func TestScrapeWithMoreTimeIsNotCutByOneWithLess(t *testing.T) {
	entered := make(chan struct{}, 10)
	var calls atomic.Int32
	e := New(discard(), time.Now, 0, fake{"obedient", func(ctx context.Context, emit Emit) error {
		entered <- struct{}{}
		if calls.Add(1) == 1 {
			<-ctx.Done()
			return ctx.Err()
		}
		emit.gauge(fakeDesc, 1, "whole")
		return nil
	}})
	var all sync.WaitGroup
	all.Go(func() {
		wantValues(t, gatherValues(t, e, 200*time.Millisecond), map[string]float64{"scrape_collector_success{obedient}": 0})
	})
	<-entered
	all.Go(func() {
		wantValues(t, gatherValues(t, e, time.Minute),
			map[string]float64{"test_value{whole}": 1, "scrape_collector_success{obedient}": 1})
	})
	all.Wait()
}

func TestLateSampleIsDropped(t *testing.T) {
	var leaked Emit
	e := New(discard(), time.Now, 0, fake{"leaky", func(_ context.Context, emit Emit) error {
		leaked = emit
		return nil
	}})
	gatherValues(t, e, time.Minute)
	leaked.gauge(fakeDesc, 1, "late") // would panic on a closed channel
	if _, there := gatherValues(t, e, time.Minute)["test_value{late}"]; there {
		t.Error("a sample sent after Update came back reached a page")
	}
}

func TestOneLogLinePerChangeOfState(t *testing.T) {
	var log bytes.Buffer
	var result error
	e := New(slog.New(slog.NewTextHandler(&log, nil)), time.Now, 0,
		fake{"moody", func(context.Context, Emit) error { return result }})
	for _, step := range []struct {
		result error
		want   string
	}{
		{nil, ""},
		{errors.New("dial 127.0.0.1:51234: refused"), "reading failed"},
		{errors.New("dial 127.0.0.1:51240: refused"), ""},
		{errors.New("login denied"), "still fails, for another reason"},
		{errors.New("login denied"), ""},
		{nil, "works again"},
		{nil, ""},
	} {
		result = step.result
		log.Reset()
		gatherValues(t, e, time.Minute)
		switch lines := strings.Count(log.String(), "\n"); {
		case step.want == "" && lines != 0, step.want != "" && (lines != 1 || !strings.Contains(log.String(), step.want)):
			t.Errorf("after %v the log is %q, want %q", step.result, log.String(), step.want)
		}
	}
}

func TestSlowCollectorIsLoggedOnce(t *testing.T) {
	var log bytes.Buffer
	release := make(chan struct{})
	e := New(slog.New(slog.NewTextHandler(&log, nil)), time.Now, 0,
		fake{"slow", func(context.Context, Emit) error { <-release; return nil }})
	s := e.enabled()[0]
	for range 3 {
		gatherValues(t, e, 50*time.Millisecond)
		release <- struct{}{}
		waitFor(t, "the late run to end", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return s.current == nil })
	}
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("a collector that is always late logged %d lines:\n%s", n, log.String())
	}
}

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

func TestPanicInAMetricCostsItsCollectorOnly(t *testing.T) {
	e := New(discard(), time.Now, 0, steady("good"), fake{"broken", func(_ context.Context, emit Emit) error {
		emit(explosive{})
		return nil
	}})
	wantValues(t, gatherValues(t, e, time.Minute), map[string]float64{
		"test_value{good}": 1, "scrape_collector_success{good}": 1, "scrape_collector_success{broken}": 0,
	})
}

type explosive struct{}

func (explosive) Desc() *prometheus.Desc  { return fakeDesc }
func (explosive) Write(*dto.Metric) error { panic(fmt.Sprint("boom")) }

func BenchmarkScrape(b *testing.B) {
	many := make([]Collector, 0, 20)
	for i := range 20 {
		d := desc("test", fmt.Sprintf("value%d", i), "A value.", "n")
		many = append(many, fake{fmt.Sprint(i), func(_ context.Context, emit Emit) error {
			for n := range 20 {
				emit.gauge(d, 1, fmt.Sprint(n))
			}
			return nil
		}})
	}
	h := New(discard(), time.Now, 0, many...).Handler(HandlerOptions{})
	for b.Loop() {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/metrics", nil))
	}
}
