package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// minPatience keeps a scrape with a tiny timeout from having a healthy collector called hung for everybody else.
const minPatience = time.Second

var (
	errLate = errors.New("no answer before the scrape's deadline; it is not asked again until that call has come back")
	errGone = errors.New("the collector ended its goroutine without an answer")
)

// subject is a collector with its run under way. There is at most one, however many scrapes wait for it:
// overlapping scrapes share a run, and a run that hangs is left alone until it comes back.
type subject struct {
	collector Collector
	clock     func() time.Time
	health    *health

	mu      sync.Mutex
	current *run
}

// outcome is what a scrape learns from a collector. The families are shared between scrapes: read only.
type outcome struct {
	families []*dto.MetricFamily
	err      error
	duration time.Duration
}

// run is one call of Update.
type run struct {
	started time.Time
	// hung is closed when the run has had more time than it was given.
	hung <-chan struct{}
	// done is closed when Update has come back; outcome and cut are valid from then on.
	done    chan struct{}
	outcome outcome
	// cut says that the run failed after the time of the scrape that started it was over.
	cut bool
	// missed says that some scrape gave it up; guarded by the subject's mutex.
	missed bool
}

func newSubject(c Collector, logger *slog.Logger, clock func() time.Time) *subject {
	return &subject{
		collector: c, clock: clock,
		health: &health{logger: logger.With("collector", c.Name()), clock: clock},
	}
}

// scrape waits for a run until ctx, which has a deadline, ends. A run that was started by another scrape counts too,
// unless that scrape's shorter deadline cut it: then there is another one, with the time that is left.
func (s *subject) scrape(ctx context.Context) outcome {
	for {
		r, joined := s.join(ctx)
		select {
		case <-r.done:
		case <-r.hung:
		case <-ctx.Done():
		}
		select {
		case <-r.done:
			if joined && r.cut && ctx.Err() == nil {
				continue
			}
			return r.outcome
		default:
			return s.giveUp(ctx, r)
		}
	}
}

// join returns the run under way, or starts one.
func (s *subject) join(ctx context.Context) (r *run, joined bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current != nil {
		return s.current, true
	}
	deadline, _ := ctx.Deadline()
	left := time.Until(deadline)
	// The run outlives a client that hangs up: others may be waiting for it.
	ctx = context.WithoutCancel(ctx)
	patience, settled := context.WithTimeout(ctx, max(left, minPatience))
	r = &run{started: s.clock(), hung: patience.Done(), done: make(chan struct{}), outcome: outcome{err: errGone}}
	s.current = r
	go func() {
		defer settled()
		// A collector that obeys its context still gets the part that it has read onto the page.
		ctx, cancel := context.WithTimeout(ctx, left-min(left/10, 250*time.Millisecond))
		defer cancel()
		defer s.finish(ctx, r)
		r.outcome.families, r.outcome.err = s.collect(ctx)
	}()
	return r, false
}

// finish publishes the outcome of r and lets the next run start.
func (s *subject) finish(ctx context.Context, r *run) {
	r.outcome.duration = s.clock().Sub(r.started)
	r.cut = r.outcome.err != nil && ctx.Err() != nil
	s.mu.Lock()
	s.current = nil
	missed := r.missed
	s.mu.Unlock()
	if !missed {
		s.health.report(r.outcome.err)
	}
	close(r.done)
}

// giveUp answers for a run that is not back in time. It is the collector's fault unless the client hung up.
func (s *subject) giveUp(ctx context.Context, r *run) outcome {
	if !errors.Is(ctx.Err(), context.Canceled) {
		s.mu.Lock()
		r.missed = true
		s.mu.Unlock()
		s.health.report(errLate)
	}
	return outcome{err: errLate, duration: s.clock().Sub(r.started)}
}

// collect runs Update into a buffer of its own and sorts what it emitted.
func (s *subject) collect(ctx context.Context) (families []*dto.MetricFamily, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	var emitted buffer
	err = s.update(ctx, emitted.add)
	families, inconsistent := assemble(emitted.close())
	return families, errors.Join(err, inconsistent)
}

// update is Update with a panic turned into an error, so that what was emitted before it stays.
func (s *subject) update(ctx context.Context, emit Emit) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return s.collector.Update(ctx, emit)
}
