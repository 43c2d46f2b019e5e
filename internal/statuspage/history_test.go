package statuspage_test

import (
	"encoding/xml"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/statuspage"
)

// online records samples of users online, a minute apart from at on; -1 is a sample without a value, -2 no sample at all.
func online(t testing.TB, history *statuspage.History, at time.Time, values ...float64) {
	t.Helper()
	for i, value := range values {
		moment := at.Add(time.Duration(i) * time.Minute)
		switch value {
		case -2:
		case -1:
			history.Record(nil, moment)
		default:
			history.Record(parse(t, fmt.Sprintf("moodle_users_active{site=\"lms\",window=\"5m\"} %g\nmoodle_users_active{site=\"lms\",window=\"24h\"} 999", value), moment), moment)
		}
	}
}

func only(t testing.TB, history *statuspage.History, at time.Time) statuspage.Chart {
	t.Helper()
	charts := history.Trend(at).Charts
	if len(charts) != 1 {
		t.Fatalf("%d charts, want 1: %+v", len(charts), charts)
	}
	return charts[0]
}

func TestHistoryInWords(t *testing.T) {
	const many = 400
	long := make([]float64, many)
	for i := range long {
		long[i] = float64(i)
	}
	cases := []struct {
		name                  string
		values                []float64
		after                 time.Duration // from the last sample to the look
		last, lowest, highest string
		gaps, runs            int
		since                 time.Duration // before the last sample
	}{
		{"one", []float64{5}, 0, "5", "5", "5", 0, 1, 0},
		{"some", []float64{5, 3, 9, 4}, 0, "4", "3", "9", 0, 1, 3 * time.Minute},
		{"zero is a value", []float64{0, 0}, 0, "0", "0", "0", 0, 1, time.Minute},
		{"a value lost", []float64{5, -1, 9}, 0, "9", "5", "9", 1, 2, 2 * time.Minute},
		{"a sample lost", []float64{5, -2, 9}, 0, "9", "5", "9", 1, 2, 2 * time.Minute},
		{"lost now", []float64{5, 6, -1}, 0, "", "5", "6", 0, 1, 2 * time.Minute},
		{"lost at first", []float64{-1, -1, 6}, 0, "6", "6", "6", 0, 1, 2 * time.Minute},
		{"no sample for long", []float64{5, 6}, time.Hour, "", "5", "6", 0, 1, time.Minute},
		{"more than there is room for", long, 0, "399", "40", "399", 0, 1, 359 * time.Minute},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			history := statuspage.NewHistory()
			begin := now.Add(-time.Duration(len(c.values)-1) * time.Minute)
			online(t, history, begin, c.values...)
			look := now.Add(c.after)
			chart := only(t, history, look)
			if chart.Last != c.last || chart.Lowest != c.lowest || chart.Highest != c.highest || chart.Gaps != c.gaps {
				t.Errorf("last %q, lowest %q, highest %q, %d gaps", chart.Last, chart.Lowest, chart.Highest, chart.Gaps)
			}
			if runs := strings.Count(chart.Line, "M"); runs != c.runs || strings.Count(chart.Area, "Z") != runs {
				t.Errorf("%d runs are drawn, want %d: %s and %s", runs, c.runs, chart.Line, chart.Area)
			}
			if since := history.Trend(look).Since; !since.Equal(now.Add(-c.since)) {
				t.Errorf("since %v, want %v", since, now.Add(-c.since))
			}
			inside(t, chart)
		})
	}
}

var point = regexp.MustCompile(`[MLH](-?\d+)(?: (-?\d+))?`)

// inside holds every point against the drawing.
func inside(t testing.TB, chart statuspage.Chart) {
	t.Helper()
	for _, path := range []string{chart.Line, chart.Area, chart.LimitLine} {
		for _, found := range point.FindAllStringSubmatch(path, -1) {
			x, _ := strconv.Atoi(found[1])
			y, _ := strconv.Atoi(found[2])
			if x < 0 || x > statuspage.ChartWidth || y < 0 || y > statuspage.ChartHeight {
				t.Errorf("%s of %s lies outside", found[0], chart.Title())
			}
		}
	}
}

// The history says nothing about a time that it has not seen.
func TestHistoryBeginsEmpty(t *testing.T) {
	history := statuspage.NewHistory()
	if trend := history.Trend(now); !trend.Since.IsZero() || len(trend.Charts) > 0 {
		t.Errorf("%+v", trend)
	}
	history.Record(nil, now)
	report := load(t, "healthy", statuspage.Extras{})
	report.Trend = history.Trend(now)
	if page := serve(t, report).Body.String(); !strings.Contains(page, "since 09:30") || strings.Contains(page, "<svg") {
		t.Error("a history without a value does not say since when it looks, or draws something")
	}
}

func TestClockSetBack(t *testing.T) {
	history := statuspage.NewHistory()
	online(t, history, now, 1, 2, 3, 4)
	back := now.Add(90 * time.Second) // between the second and the third
	online(t, history, back, 9)
	chart := only(t, history, back)
	if chart.Highest != "9" || chart.Lowest != "1" || chart.Last != "9" || chart.Gaps != 0 {
		t.Errorf("what lay ahead was not forgotten: %+v", chart)
	}
	inside(t, chart)
	inside(t, only(t, history, now.Add(-time.Hour))) // set back once more, before the next sample
	online(t, history, now.Add(-10*24*time.Hour), 7)
	if chart := only(t, history, now.Add(-10*24*time.Hour)); chart.Highest != "7" || chart.Lowest != "7" {
		t.Errorf("far back: %+v", chart)
	}
}

func TestClockSetForward(t *testing.T) {
	history := statuspage.NewHistory()
	online(t, history, now, 1, 2)
	online(t, history, now.Add(3*time.Hour), 5)
	if chart := only(t, history, now.Add(3*time.Hour)); chart.Gaps != 1 || chart.Lowest != "1" {
		t.Errorf("three hours on: %+v", chart)
	}
	online(t, history, now.Add(30*24*time.Hour), 6)
	if chart := only(t, history, now.Add(30*24*time.Hour)); chart.Lowest != "6" || chart.Gaps != 0 {
		t.Errorf("a month on: %+v", chart)
	}
}

// A site that is gone leaves the page with its last value.
func TestLineThatEnds(t *testing.T) {
	history := statuspage.NewHistory()
	online(t, history, now, 1)
	online(t, history, now.Add(6*time.Hour), -1)
	if len(history.Trend(now.Add(6*time.Hour)).Charts) != 1 {
		t.Error("the line left before its value did")
	}
	online(t, history, now.Add(6*time.Hour+time.Minute), -1)
	if charts := history.Trend(now.Add(6 * time.Hour)).Charts; len(charts) > 0 {
		t.Errorf("%+v", charts)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	history := statuspage.NewHistory()
	for minute := range 3 {
		var metrics strings.Builder
		for i := range 80 {
			fmt.Fprintf(&metrics, "moodle_users_active{site=\"s%02d\",window=\"5m\"} 1\nmoodle_database_threads_running{server=\"d%02d\"} 1\n", i, i)
		}
		at := now.Add(time.Duration(minute) * time.Minute)
		history.Record(parse(t, metrics.String(), at), at)
	}
	trend := history.Trend(now.Add(3 * time.Minute))
	if len(trend.Charts) != 100 || trend.Hidden != 60 {
		t.Errorf("%d charts, %d hidden", len(trend.Charts), trend.Hidden)
	}
	report := load(t, "healthy", statuspage.Extras{})
	report.Trend = trend
	if !strings.Contains(serve(t, report).Body.String(), "60 more are not drawn") {
		t.Error("the page does not say what it leaves out")
	}
}

// A rate needs two samples in a row of one counter that only grows.
func TestRates(t *testing.T) {
	const series = `moodle_nginx_requests_total{server="a"}`
	cases := []struct {
		name    string
		samples map[int]float64 // by minute
		want    string
	}{
		{"two", map[int]float64{0: 100, 1: 220}, "2/s"},
		{"none", map[int]float64{0: 100, 1: 100}, "0/s"},
		{"one", map[int]float64{1: 220}, ""},
		{"restarted", map[int]float64{0: 100, 1: 7}, ""},
		{"with one lost between", map[int]float64{0: 100, 2: 220}, ""},
		{"after one without the counter", map[int]float64{0: 100, 1: -1, 2: 220, 3: 280}, "1/s"},
	}
	for _, c := range cases {
		history := statuspage.NewHistory()
		at := now
		for minute := range 4 {
			value, taken := c.samples[minute]
			if !taken {
				continue
			}
			at = now.Add(time.Duration(minute) * time.Minute)
			text := ""
			if value >= 0 {
				text = fmt.Sprintf("%s %g", series, value)
			}
			history.Record(parse(t, text, at), at)
		}
		charts := history.Trend(at).Charts
		switch {
		case c.want == "" && len(charts) > 0:
			t.Errorf("%s: %+v", c.name, charts)
		case c.want != "" && (len(charts) != 1 || charts[0].Last != c.want || charts[0].Lowest != c.want):
			t.Errorf("%s: %+v, want %s alone", c.name, charts, c.want)
		}
	}
}

// The limit is drawn where it helps, and said always; a value on its wrong side is marked.
func TestLimits(t *testing.T) {
	cases := []struct {
		name, metrics string
		over, drawn   bool
		limit         string
	}{
		{"below", "moodle_web_probe_success{site=\"lms\"} 1\nmoodle_web_probe_duration_seconds{site=\"lms\"} 2\nmoodle_threshold{name=\"web_slow_seconds\"} 3", false, true, "3 s"},
		{"above", "moodle_web_probe_success{site=\"lms\"} 1\nmoodle_web_probe_duration_seconds{site=\"lms\"} 4\nmoodle_threshold{name=\"web_slow_seconds\"} 3", true, true, "3 s"},
		{"far above", "moodle_web_probe_success{site=\"lms\"} 1\nmoodle_web_probe_duration_seconds{site=\"lms\"} 0.2\nmoodle_threshold{name=\"web_slow_seconds\"} 3", false, false, "3 s"},
		{"none", "moodle_web_probe_success{site=\"lms\"} 1\nmoodle_web_probe_duration_seconds{site=\"lms\"} 0.2", false, false, ""},
		{"full pool", "moodle_phpfpm_processes{server=\"8.2\",pool=\"www\",state=\"active\"} 5\nmoodle_phpfpm_max_children{server=\"8.2\",pool=\"www\"} 5", true, true, "5"},
		{"enough memory", "moodle_host_memory_total_bytes 100\nmoodle_host_memory_available_bytes 10\nmoodle_threshold{name=\"memory_available_ratio\"} 0.1", false, true, "10 %"},
		{"little memory", "moodle_host_memory_total_bytes 100\nmoodle_host_memory_available_bytes 9\nmoodle_threshold{name=\"memory_available_ratio\"} 0.1", true, true, "10 %"},
	}
	for _, c := range cases {
		history := statuspage.NewHistory()
		history.Record(parse(t, c.metrics, now), now)
		chart := only(t, history, now)
		if chart.Over != c.over || (chart.LimitLine != "") != c.drawn || chart.Limit != c.limit {
			t.Errorf("%s: over %v, line %q, limit %q", c.name, chart.Over, chart.LimitLine, chart.Limit)
		}
	}
}

// A login page that fails fast is no fast login page.
func TestFailedVisitIsAGap(t *testing.T) {
	history := statuspage.NewHistory()
	for i, success := range []int{1, 0, 1} {
		at := now.Add(time.Duration(i) * time.Minute)
		history.Record(parse(t, fmt.Sprintf("moodle_web_probe_success{site=\"lms\"} %d\nmoodle_web_probe_duration_seconds{site=\"lms\"} 0.%d", success, i+1), at), at)
	}
	if chart := only(t, history, now.Add(2*time.Minute)); chart.Gaps != 1 || chart.Lowest != "100 ms" || chart.Highest != "300 ms" {
		t.Errorf("%+v", chart)
	}
}

// Who does not see a drawing is told what it shows; what comes from outside stays text.
func TestDrawingsAreNamedAndEscaped(t *testing.T) {
	history := statuspage.NewHistory()
	families := parse(t, `moodle_users_active{site="H",window="5m"} 3`, now)
	*families[0].Metric[0].Label[0].Value = hostile + `--><style>*{}</style></title></svg>`
	history.Record(families, now)
	report := load(t, "healthy", statuspage.Extras{})
	report.Trend = history.Trend(now)
	page := serve(t, report).Body.String()
	names := map[string]int{}
	for _, element := range elements(t, page) {
		names[element.Name.Local]++
		if element.Name == (xml.Name{Local: "svg"}) {
			role, _ := attribute(element, "role")
			label, _ := attribute(element, "aria-labelledby")
			if role != "img" || len(strings.Fields(label)) != 2 {
				t.Errorf("a drawing has the role %q and the label %q", role, label)
			}
		}
	}
	if names["script"]+names["img"] > 0 || names["style"] != 1 || names["svg"] != 1 || names["desc"] != 1 {
		t.Errorf("%v", names)
	}
	if !strings.Contains(page, "From 09:30 to 09:30: lowest 3, highest 3, last 3.") {
		t.Error("the drawing is not told in words")
	}
}
