package collector

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
)

const (
	// timeoutHeader is how Prometheus says when it will stop waiting, in seconds.
	timeoutHeader = "X-Prometheus-Scrape-Timeout-Seconds"
	// minTimeout and maxTimeout bound what a client may ask for.
	minTimeout = 100 * time.Millisecond
	maxTimeout = 2 * time.Minute
	// writeTime is how long a client may take to read the page before its place is given away.
	writeTime = 10 * time.Second
)

// HandlerOptions are the choices of the scrape endpoint.
type HandlerOptions struct {
	// MaxRequests answered at the same time, further ones get 503; 0 for no limit.
	MaxRequests int
	// DisableExporterMetrics leaves out go_*, process_* and promhttp_*.
	DisableExporterMetrics bool
}

// handler serves the engine's page over HTTP.
type handler struct {
	engine *Engine
	self   *prometheus.Registry
	places chan struct{}
}

// Handler returns the endpoint for Prometheus. collect[] asks for some collectors only, exclude[] for all but some.
func (e *Engine) Handler(o HandlerOptions) http.Handler {
	h := &handler{engine: e}
	if o.MaxRequests > 0 {
		h.places = make(chan struct{}, o.MaxRequests)
	}
	if o.DisableExporterMetrics {
		return h
	}
	h.self = prometheus.NewRegistry()
	h.self.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return promhttp.InstrumentMetricHandler(h.self, h)
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.places != nil {
		select {
		case h.places <- struct{}{}:
			defer func() { <-h.places }()
		default:
			http.Error(w, fmt.Sprintf("%d scrapes are under way, which is the limit; try again later", cap(h.places)),
				http.StatusServiceUnavailable)
			return
		}
	}
	subjects, err := choose(h.engine.enabled(), r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	allowed := budget(announced(r.Header.Get(timeoutHeader)), h.engine.offset)
	ctx, cancel := context.WithTimeout(r.Context(), allowed)
	defer cancel()
	connection := http.NewResponseController(w)
	if connection.SetWriteDeadline(time.Now().Add(allowed+writeTime)) == nil {
		defer func() { _ = connection.SetWriteDeadline(time.Time{}) }()
	}
	h.page(ctx, subjects).ServeHTTP(w, r)
}

// page is the handler of one request: client_golang has no context in Gather, so it goes in here.
func (h *handler) page(ctx context.Context, subjects []*subject) http.Handler {
	options := promhttp.HandlerOpts{ErrorHandling: promhttp.ContinueOnError, EnableOpenMetrics: true}
	var page prometheus.Gatherer = prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		return h.engine.gather(ctx, subjects)
	})
	if h.self != nil {
		options.Registry = h.self
		page = prometheus.Gatherers{h.self, page}
	}
	return promhttp.HandlerFor(page, options)
}

// choose applies collect[] and exclude[]. A name that cannot be served is an error, never a silent "all".
func choose(enabled []*subject, query url.Values) ([]*subject, error) {
	collect, exclude := query["collect[]"], query["exclude[]"]
	if len(collect) > 0 && len(exclude) > 0 {
		return nil, fmt.Errorf("collect[] and exclude[] cannot be used together")
	}
	names := slices.Concat(collect, exclude)
	if len(names) == 0 {
		return enabled, nil
	}
	for _, name := range names {
		if !slices.ContainsFunc(enabled, func(s *subject) bool { return s.collector.Name() == name }) {
			return nil, fmt.Errorf("unknown or disabled collector: %q", name)
		}
	}
	chosen := make([]*subject, 0, len(enabled))
	for _, s := range enabled {
		if slices.Contains(names, s.collector.Name()) == (len(collect) > 0) {
			chosen = append(chosen, s)
		}
	}
	return chosen, nil
}

// announced reads the timeout header; what is no sensible number of seconds counts as not said.
func announced(header string) time.Duration {
	seconds, err := strconv.ParseFloat(header, 64)
	if err != nil || math.IsNaN(seconds) || seconds <= 0 {
		return defaultTimeout
	}
	return max(minTimeout, time.Duration(min(seconds, maxTimeout.Seconds())*float64(time.Second)))
}

// budget is the part of a timeout that the collectors get: the offset comes off, but never more than half.
func budget(timeout, offset time.Duration) time.Duration {
	return max(timeout-offset, timeout/2)
}
