package collector

import (
	"bytes"
	"context"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

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
