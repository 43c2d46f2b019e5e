package backup

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
)

// Candidate is a backup as retention looks at it.
type Candidate struct {
	ID       string
	Time     time.Time // at which it was begun
	Complete bool      // a site can be brought back from it alone
	Good     bool      // nothing is known against it
	Verified bool      // every byte of it was read back and found right
	Readable bool      // its manifest is
}

// Decision is what becomes of a backup, and why it stays: without reasons it goes.
type Decision struct {
	ID      string
	Reasons []string
}

// Keep says whether the backup stays.
func (d Decision) Keep() bool { return len(d.Reasons) > 0 }

// periods are the calendar rules of retention: the last backup of a period, for so many periods that have one.
var periods = []struct {
	name  string
	count func(config.Keep) int
	of    func(time.Time) string
}{
	{"daily", func(k config.Keep) int { return k.Daily }, func(t time.Time) string { return t.Format("2006-01-02") }},
	{"weekly", func(k config.Keep) int { return k.Weekly }, func(t time.Time) string { y, w := t.ISOWeek(); return fmt.Sprint(y, "-", w) }},
	{"monthly", func(k config.Keep) int { return k.Monthly }, func(t time.Time) string { return t.Format("2006-01") }},
	{"yearly", func(k config.Keep) int { return k.Yearly }, func(t time.Time) string { return t.Format("2006") }},
}

// Retain decides which backups stay; now and the calendar are those of now's time zone. Only good and
// complete backups count for the numbers. The newest of those, and the newest verified one, stay whatever
// the rules say; so does one that cannot be understood, or is dated in the future. A backup of single
// components stays while it is within keep.Within or newer than every complete one. Decisions are in the
// order of the candidates.
func Retain(candidates []Candidate, keep config.Keep, now time.Time) []Decision {
	decisions := make([]Decision, len(candidates))
	newest := make([]int, len(candidates)) // indexes, newest first
	for i, c := range candidates {
		decisions[i].ID = c.ID
		newest[i] = i
	}
	slices.SortStableFunc(newest, func(a, b int) int {
		return candidates[b].Time.Compare(candidates[a].Time)*2 + strings.Compare(candidates[b].ID, candidates[a].ID)
	})
	because := func(i int, reason string) { decisions[i].Reasons = append(decisions[i].Reasons, reason) }

	counted, verified := 0, false
	seen := make([]map[string]bool, len(periods))
	for _, i := range newest {
		c := candidates[i]
		if !c.Readable {
			because(i, "its manifest cannot be read")
			continue
		}
		if c.Time.After(now) {
			// The clock was wrong, then or now. It must not take the place of the backups that are made now.
			because(i, "dated in the future")
			continue
		}
		if age := now.Sub(c.Time); keep.Within > 0 && age <= time.Duration(keep.Within) {
			because(i, "within "+keep.Within.String())
		}
		if !c.Complete || !c.Good {
			if counted == 0 && c.Good {
				because(i, "newer than every complete backup")
			}
			continue
		}
		if counted == 0 {
			because(i, "the newest good backup")
		}
		if c.Verified && !verified {
			verified = true
			because(i, "the newest verified backup")
		}
		if counted < keep.Last {
			because(i, fmt.Sprintf("one of the last %d", keep.Last))
		}
		counted++
		for p, period := range periods {
			if seen[p] == nil {
				seen[p] = map[string]bool{}
			}
			of := period.of(c.Time.In(now.Location()))
			if !seen[p][of] && len(seen[p]) < period.count(keep) {
				seen[p][of] = true
				because(i, period.name)
			}
		}
	}
	return decisions
}
