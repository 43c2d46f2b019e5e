// Package statuspage says whether a host and its Moodle sites are all right. The verdicts are made in one
// place, Evaluate, from the metrics that Prometheus would see, and shown three ways: as text in a terminal,
// as JSON and as the exporter's web page. Their conditions are those of the alert rules.
package statuspage

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
)

// Report is the verdict on everything at one moment.
type Report struct {
	Level    Level     `json:"level"`
	Summary  string    `json:"summary"` // one sentence: is it all right?
	Taken    time.Time `json:"taken"`
	Version  string    `json:"version"`
	Sections []Section `json:"sections"`

	// MetricsPath is where the page finds the metrics, and Trend what it draws; no part of the verdict.
	MetricsPath string `json:"-"`
	Trend       Trend  `json:"-"`
}

// Trouble is a bad line and where it stands.
type Trouble struct {
	Section string
	Line
}

// Troubles are the bad lines, the worst first.
func (r Report) Troubles() []Trouble {
	var found []Trouble
	for _, section := range r.Sections {
		for _, line := range section.Lines {
			if line.Level.Bad() {
				found = append(found, Trouble{section.Name, line})
			}
		}
	}
	slices.SortStableFunc(found, func(a, b Trouble) int {
		return cmp.Compare(slices.Index(order[:], b.Level), slices.Index(order[:], a.Level))
	})
	return found
}

// Section is one part of the host, such as Sites or Backups.
type Section struct {
	Name  string `json:"name"`
	Level Level  `json:"level"`
	Lines []Line `json:"lines"`
}

// Line is one verdict.
type Line struct {
	Level    Level    `json:"level"`
	Site     string   `json:"site,omitempty"` // empty for what belongs to the host
	Subject  string   `json:"subject"`
	Value    string   `json:"value"`
	Advice   string   `json:"advice,omitempty"`         // what it means and what to do, unless all is well
	Runbook  string   `json:"runbook,omitempty"`        // the alert whose page helps
	Progress *float64 `json:"progress_ratio,omitempty"` // of a running job, from 0 to 1
}

// Extras is what the verdicts need beside the metrics. None of it may hold a secret.
type Extras struct {
	Problems   []string          // what could not be read or is not set up, and what to do about it
	Jobs       []JobError        // why the last runs failed
	Past       []JobError        // runs that failed and were followed by another one, the newest first
	Restores   []Restore         // that are not over with
	Exposed    []Exposed         // what others than it is meant for may read
	Collectors map[string]string // why collectors fail now, by their name
	Version    string            // of this program

	MetricsPath string // where this program serves its metrics, /metrics if empty
}

// JobError is how a run of a job failed, and when. Site is empty for jobs of the whole host.
type JobError struct {
	Site, Job, Text string
	Ended           time.Time
}

// Evaluate judges the metrics. It knows nothing but its arguments, and what should be among them and
// is not makes an unknown line, never a good one.
func Evaluate(families []*dto.MetricFamily, extras Extras, now time.Time) Report {
	v := newView(families, extras, now)
	report := Report{Level: Info, Taken: now, Version: clean(extras.Version), MetricsPath: cmp.Or(extras.MetricsPath, "/metrics")}
	var all []Line
	for _, p := range plan() {
		section := p.judge(v)
		report.Sections = append(report.Sections, section)
		all = append(all, section.Lines...)
	}
	if report.Level = worst(all); report.Level == Info {
		report.Level = Unknown // nothing was judged
	}
	report.Summary = summary(report.Level, all)
	return report
}

// Detailed says whether the report has any lines: its outline has none.
func (r Report) Detailed() bool {
	return slices.ContainsFunc(r.Sections, func(s Section) bool { return len(s.Lines) > 0 })
}

// Outline is the report without its lines and names, for readers who may not see the details.
func (r Report) Outline() Report {
	sections := make([]Section, len(r.Sections))
	for i, section := range r.Sections {
		sections[i] = Section{Name: section.Name, Level: section.Level}
	}
	r.Sections, r.Trend = sections, Trend{}
	if r.Level.Bad() {
		r.Summary = "Something is not all right, or cannot be seen."
	}
	return r
}

func summary(level Level, lines []Line) string {
	count := map[Level]int{}
	for _, line := range lines {
		count[line.Level]++
	}
	if level == OK {
		return fmt.Sprintf("All %d checks are all right.", count[OK])
	}
	nouns := map[Level][2]string{Critical: {"critical", "critical"}, Unknown: {"unknown", "unknown"}, Warning: {"warning", "warnings"}}
	var parts []string
	for _, l := range []Level{Critical, Unknown, Warning} {
		if count[l] == 0 {
			continue
		}
		part := fmt.Sprintf("%d %s", count[l], nouns[l][min(count[l], 2)-1])
		if l == level {
			part += " (" + list(culprits(level, lines), 3) + ")"
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return "Nothing could be judged."
	}
	return fmt.Sprintf("%s; %d ok.", strings.Join(parts, ", "), count[OK])
}

// culprits names the lines of a level.
func culprits(level Level, lines []Line) []string {
	var names []string
	for _, line := range lines {
		if line.Level == level {
			names = append(names, strings.TrimSpace(line.Site+" "+line.Subject))
		}
	}
	return names
}

// clean makes one line of a text that came from outside: no control characters, which a terminal would
// obey, no marks that turn the direction of writing, and no end in the middle of nowhere.
func clean(text string) string {
	const longest = 1000
	var b strings.Builder
	length := 0
	for _, r := range strings.ToValidUTF8(text, "\uFFFD") {
		switch {
		case r == '\u200e' || r == '\u200f' || r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069':
			continue
		case r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029':
			r = ' '
		}
		if length++; length > longest {
			b.WriteString("…")
			break
		}
		b.WriteRune(r)
	}
	return strings.Join(strings.Fields(b.String()), " ")
}
