package statuspage

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Trend is what a page shows of the history.
type Trend struct {
	Since  time.Time // of the first sample; zero before it
	Charts []Chart
	Hidden int // lines left out for lack of room
}

// Chart is one line, ready to be drawn, and the same in words.
type Chart struct {
	Name, Of        string
	Since           time.Time // of the first sample
	From, To        time.Time // of the whole width
	Last            string    // empty if the last sample has no value
	Lowest, Highest string
	Limit           string // empty without one
	Over            bool   // the last value is on the wrong side of the limit
	Gaps            int    // times without a value between two that have one
	Line, Area      string // paths in a drawing of ChartWidth × ChartHeight
	LimitLine       string // empty also if the limit is far above the values
}

// A drawing is stretched to the place it gets.
const (
	ChartWidth  = 720
	ChartHeight = 120
	// shortestChart keeps the first samples from being stretched over the whole width.
	shortestChart = 15 * time.Minute
	// headroom is how much of the height stays free above the highest value.
	headroom = 1.1
	// farLimit is how many times the highest value a limit may be and still be drawn: further up it would press the line flat.
	farLimit = 3
)

// draw makes the chart of one line. At least one of its values is known.
func draw(g graph, of string, times []time.Time, s *series, now time.Time) Chart {
	lowest, highest := math.Inf(1), math.Inf(-1)
	for _, value := range s.values {
		if known(value) {
			lowest, highest = min(lowest, value), max(highest, value)
		}
	}
	since := times[0].In(now.Location())
	c := Chart{
		Name: g.name, Of: clean(of), Since: since, From: since, To: now,
		Lowest: g.show(lowest), Highest: g.show(highest),
	}
	if c.To.Before(times[len(times)-1]) { // the clock was set back since
		c.To = times[len(times)-1].In(now.Location())
	}
	if shortest := c.To.Add(-shortestChart); c.From.After(shortest) {
		c.From = shortest
	}
	scale := scale{from: c.From, width: c.To.Sub(c.From), top: g.top}
	if g.top == 0 {
		scale.top = highest
		if known(s.limit) && s.limit <= farLimit*highest {
			scale.top = max(highest, s.limit)
		}
		scale.top *= headroom
	}
	if known(s.limit) {
		c.Limit = g.show(s.limit)
		if s.limit <= scale.top {
			y := scale.y(s.limit)
			c.LimitLine = fmt.Sprintf("M0 %dH%d", y, ChartWidth)
		}
	}
	if last := s.values[len(s.values)-1]; known(last) && now.Sub(times[len(times)-1]) < 2*historyGap {
		c.Last = g.show(last)
		c.Over = known(s.limit) && (last >= s.limit) != g.low // that a pool is at its limit says enough
	}
	c.Line, c.Area, c.Gaps = scale.paths(times, s.values)
	return c
}

// scale turns moments and values into places in the drawing.
type scale struct {
	from  time.Time
	width time.Duration
	top   float64
}

func (s scale) x(at time.Time) int {
	return int(math.Round(float64(at.Sub(s.from)) / float64(s.width) * ChartWidth))
}

func (s scale) y(value float64) int {
	if s.top <= 0 {
		return ChartHeight
	}
	return ChartHeight - int(math.Round(min(1, max(0, value/s.top))*ChartHeight))
}

// paths draws a line for each run of samples without a gap, and the ground below it. A sample that stands alone is a dot.
func (s scale) paths(times []time.Time, values []float64) (line, area string, gaps int) {
	var lines, areas strings.Builder
	begun := -1 // x of the first sample of the run under way
	end := func(at int) {
		x := s.x(times[at])
		if x == begun {
			lines.WriteString("h-6")
		}
		fmt.Fprintf(&areas, "L%d %dH%dZ", x, ChartHeight, begun)
		begun = -1
	}
	seen := false
	for i, value := range values {
		if begun >= 0 && (!known(value) || times[i].Sub(times[i-1]) > historyGap) {
			end(i - 1)
		}
		if !known(value) {
			continue
		}
		x, command := s.x(times[i]), "L"
		if begun < 0 {
			if seen {
				gaps++
			}
			begun, command = x, "M"
		}
		seen = true
		fmt.Fprintf(&lines, "%s%d %d", command, x, s.y(value))
		fmt.Fprintf(&areas, "%s%d %d", command, x, s.y(value))
	}
	if begun >= 0 {
		end(len(values) - 1)
	}
	return lines.String(), areas.String(), gaps
}

// Title names the chart.
func (c Chart) Title() string {
	if c.Of == "" {
		return c.Name
	}
	return c.Name + ", " + c.Of
}

// Words say what the drawing shows, for those who do not see it.
func (c Chart) Words() string {
	text := fmt.Sprintf("From %s to %s: lowest %s, highest %s", c.Since.Format("15:04"), c.To.Format("15:04"), c.Lowest, c.Highest)
	if c.Last != "" {
		text += ", last " + c.Last
	} else {
		text += ", nothing now"
	}
	if c.Limit != "" {
		text += "; limit " + c.Limit
	}
	if c.Gaps > 0 {
		text += "; with " + count(float64(c.Gaps), "gap")
	}
	return text + "."
}
