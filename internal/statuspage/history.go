package statuspage

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
)

const (
	// HistoryCadence is how often the history wants a sample.
	HistoryCadence = time.Minute
	historySpan    = 6 * time.Hour
	historySamples = int(historySpan / HistoryCadence)
	// historySeries bounds the lines of one graph, and with it the memory: a host has few sites, a broken one may claim many.
	historySeries = 50
	// historyGap is how far apart two samples may be and still belong to one line: a sample may be late, not left out.
	historyGap = HistoryCadence * 3 / 2
)

// History keeps what a few metrics were over the last hours, for the page to draw. It is no substitute for Prometheus: it
// lives in memory, begins empty with the program and keeps a fixed number of samples.
type History struct {
	mu     sync.Mutex
	times  []time.Time // of the samples, ascending
	series map[seriesKey]*series
	hidden int // lines of the last sample for which there was no room
}

// seriesKey names a line: its graph by its place in graphs(), and what it is of.
type seriesKey struct {
	graph int
	of    string
}

// series is one line. It has a value for each of the history's times, NaN where there is none.
type series struct {
	values []float64
	limit  float64 // NaN without one
	last   reading
}

// NewHistory is a history without samples.
func NewHistory() *History { return &History{series: map[seriesKey]*series{}} }

// Record adds a sample. What the metrics do not show is a gap in its line. If the clock was set back, the samples that now
// lie ahead of it are forgotten: nobody can say any more when they were.
func (h *History) Record(families []*dto.MetricFamily, at time.Time) {
	v := newView(families, Extras{}, at)
	at = at.Round(0) // by the clock on the wall alone, as it will be shown
	h.mu.Lock()
	defer h.mu.Unlock()
	steady := len(h.times) > 0 && at.Sub(h.newest()) <= historyGap
	h.forget(at)
	h.times = append(h.times, at)
	h.hidden = 0
	count := make([]int, len(graphs()))
	for key := range h.series {
		count[key.graph]++
	}
	for i, g := range graphs() {
		for _, r := range g.read(v) {
			key := seriesKey{i, r.of}
			s := h.series[key]
			if s == nil {
				if count[i] == historySeries {
					h.hidden++
					continue
				}
				count[i]++
				s = &series{values: slices.Repeat([]float64{math.NaN()}, len(h.times)-1), last: noReading}
				h.series[key] = s
			}
			if len(s.values) < len(h.times) { // of two readings of one thing the first counts
				s.add(r, g.rate, steady)
			}
		}
	}
	h.close()
}

func (h *History) newest() time.Time { return h.times[len(h.times)-1] }

// add appends a value. A rate is the growth since the sample before, if that is the one of a cadence ago.
func (s *series) add(r reading, rate, steady bool) {
	value := r.value
	if rate {
		value = math.NaN()
		if grown, by := r.value-s.last.value, r.per-s.last.per; steady && s.last != noReading && grown >= 0 && by > 0 {
			value = grown / by
		}
	}
	s.values = append(s.values, value)
	s.limit, s.last = r.limit, r
}

// forget drops what is too old, what there is no more room for, and what lies ahead.
func (h *History) forget(at time.Time) {
	first, _ := slices.BinarySearchFunc(h.times, at.Add(-historySpan), time.Time.Compare)
	end, _ := slices.BinarySearchFunc(h.times, at, time.Time.Compare)
	first = max(first, end-historySamples+1)
	h.times = keep(h.times, first, end)
	for _, s := range h.series {
		s.values = keep(s.values, first, end)
	}
}

// keep moves list[first:end] to the front, so that the list stays in its place in memory.
func keep[T any](list []T, first, end int) []T {
	return slices.Delete(list[:end], 0, first)
}

// close makes a gap of each line that got no value, and lets lines go that have none left.
func (h *History) close() {
	for key, s := range h.series {
		if len(s.values) < len(h.times) {
			s.values = append(s.values, math.NaN())
			s.last = noReading
		}
		if !slices.ContainsFunc(s.values, known) && s.last == noReading {
			delete(h.series, key)
		}
	}
}

func known(value float64) bool { return !math.IsNaN(value) }

// Trend draws the history as it is at a moment.
func (h *History) Trend(now time.Time) Trend {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := Trend{Hidden: h.hidden}
	if len(h.times) == 0 {
		return t
	}
	t.Since = h.times[0].In(now.Location())
	keys := make([]seriesKey, 0, len(h.series))
	for key, s := range h.series {
		if slices.ContainsFunc(s.values, known) {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b seriesKey) int { return cmp.Or(cmp.Compare(a.graph, b.graph), cmp.Compare(a.of, b.of)) })
	for _, key := range keys {
		t.Charts = append(t.Charts, draw(graphs()[key.graph], key.of, h.times, h.series[key], now))
	}
	return t
}
