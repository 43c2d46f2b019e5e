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
	Full     bool      // it has all components, though content may lie elsewhere; so has every complete one
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
var periods = [...]struct {
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
// the rules say; so does one that cannot be understood, or is dated in the future. Full ones that lack what
// the site keeps elsewhere are counted in the same way, but apart: they never push out a complete one, and
// do not pile up on a site that can have no other. A backup of single components stays while it is within
// keep.Within or newer than every one that is counted. Decisions are in the order of the candidates.
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

	var complete, full tally
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
		switch {
		case c.Good && c.Complete:
			complete.take(c, keep, now, func(reason string) { because(i, reason) })
		case c.Good && c.Full:
			full.take(c, keep, now, func(reason string) { because(i, reason+" of those with content elsewhere") })
		case c.Good && complete.counted+full.counted == 0:
			because(i, "newer than every complete backup")
		}
	}
	return decisions
}

// tally counts the good backups of one kind, newest first.
type tally struct {
	counted  int
	verified bool
	seen     [len(periods)]map[string]bool
}

func (t *tally) take(c Candidate, keep config.Keep, now time.Time, because func(string)) {
	if t.counted == 0 {
		because("the newest good backup")
	}
	if c.Verified && !t.verified {
		t.verified = true
		because("the newest verified backup")
	}
	if t.counted < keep.Last {
		because(fmt.Sprintf("one of the last %d", keep.Last))
	}
	t.counted++
	for p, period := range periods {
		if t.seen[p] == nil {
			t.seen[p] = map[string]bool{}
		}
		of := period.of(c.Time.In(now.Location()))
		if !t.seen[p][of] && len(t.seen[p]) < period.count(keep) {
			t.seen[p][of] = true
			because(period.name)
		}
	}
}
