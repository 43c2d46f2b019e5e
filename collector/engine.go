package collector

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors/version"
	dto "github.com/prometheus/client_model/go"
)

// defaultTimeout is how long a scrape may take that does not say it itself: Prometheus' own default scrape_timeout.
const defaultTimeout = 10 * time.Second

var (
	scrapeSuccess = desc("scrape", "collector_success",
		"1 if the collector read its whole subject within the scrape's deadline.", "collector")
	scrapeDuration = desc("scrape", "collector_duration_seconds",
		"Time the collector took, or has been hanging so far.", "collector")
)

// Engine gives every scrape a deadline and runs its collectors side by side, so that one that is slow,
// hung, broken or panicking costs its own series and nothing else.
type Engine struct {
	logger *slog.Logger
	clock  func() time.Time
	offset time.Duration
	plain  *prometheus.Registry
	merge  *health

	mu       sync.RWMutex
	subjects []*subject
}

// New returns an engine of the enabled collectors, whose names must differ. timeoutOffset is taken off the
// deadline that Prometheus announces, for the way there and back. It already carries moodle_exporter_build_info.
func New(logger *slog.Logger, clock func() time.Time, timeoutOffset time.Duration, collectors ...Collector) *Engine {
	e := &Engine{
		logger: logger, clock: clock, offset: timeoutOffset,
		plain: prometheus.NewRegistry(),
		merge: &health{logger: logger.With("collector", "page"), clock: clock},
	}
	e.plain.MustRegister(version.NewCollector(Namespace + "_exporter"))
	e.SetCollectors(collectors...)
	return e
}

// SetCollectors replaces the collectors, for a reload of the configuration. Scrapes under way end with the old ones.
func (e *Engine) SetCollectors(collectors ...Collector) {
	subjects := make([]*subject, 0, len(collectors))
	for _, c := range collectors {
		subjects = append(subjects, newSubject(c, e.logger, e.clock))
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.subjects = subjects
}

// Register adds plain collectors, such as the gauges of the last reload, to every page. They must answer at once.
func (e *Engine) Register(collectors ...prometheus.Collector) error {
	for _, c := range collectors {
		if err := e.plain.Register(c); err != nil {
			return fmt.Errorf("register exporter metric: %w", err)
		}
	}
	return nil
}

// Gather reads all collectors until ctx ends, or for ten seconds less the offset if it never does.
// With an error it still returns everything that fits together.
func (e *Engine) Gather(ctx context.Context) ([]*dto.MetricFamily, error) {
	return e.gather(ctx, e.enabled())
}

// Failures says by name why collectors failed when they were last read. It is empty while all is well.
func (e *Engine) Failures() map[string]string {
	failures := map[string]string{}
	for _, s := range e.enabled() {
		if text := s.health.failure(); text != "" {
			failures[s.collector.Name()] = text
		}
	}
	return failures
}

func (e *Engine) enabled() []*subject {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.subjects
}

// gather runs the subjects at the same time and puts their series on one page, in the subjects' order:
// of two equal series the first one stays.
func (e *Engine) gather(ctx context.Context, subjects []*subject) ([]*dto.MetricFamily, error) {
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, budget(defaultTimeout, e.offset))
		defer cancel()
	}
	outcomes := make([]outcome, len(subjects))
	var all sync.WaitGroup
	for i, s := range subjects {
		all.Go(func() { outcomes[i] = s.scrape(ctx) })
	}
	all.Wait()

	page := prometheus.Gatherers{e.plain, verdicts(subjects, outcomes)}
	for _, o := range outcomes {
		page = append(page, fixed(o.families))
	}
	families, err := page.Gather()
	e.merge.report(err)
	return families, err
}

// verdicts says of every collector that was asked whether it answered and how long it took.
func verdicts(subjects []*subject, outcomes []outcome) prometheus.Gatherer {
	var verdict buffer
	emit := Emit(verdict.add)
	for i, o := range outcomes {
		name := subjects[i].collector.Name()
		emit.gauge(scrapeSuccess, flag(o.err == nil), name)
		emit.gauge(scrapeDuration, o.duration.Seconds(), name)
	}
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return assemble(verdict.close()) })
}

// fixed is a Gatherer of families that are there already.
func fixed(families []*dto.MetricFamily) prometheus.Gatherer {
	return prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) { return families, nil })
}
