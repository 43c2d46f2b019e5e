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
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// fake is a collector made of a function.
type fake struct {
	name   string
	update func(ctx context.Context, emit Emit) error
}

func (f fake) Name() string { return f.name }

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
		{errors.New("dial 127.0.0.1:51250: refused"), ""}, // one hung server shows itself in two ways, in turn
		{errors.New("login denied\ntoo late"), "still fails, for another reason"},
		{errors.New("too late\nlogin denied"), ""},
		{nil, "works again"},
		{nil, ""},
		{errors.New("login denied"), "reading failed"},
		{nil, "works again"},
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

func (explosive) Desc() *prometheus.Desc { return fakeDesc }

func (explosive) Write(*dto.Metric) error { panic("boom") }

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
