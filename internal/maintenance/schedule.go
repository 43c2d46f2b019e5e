package maintenance

import (
	"time"

	"github.com/robfig/cron/v3"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
)

// next is the first time after the given one at which a schedule comes due, by the clock on the wall of zone. The
// schedule is asked about that clock alone, which knows no summer time; instant decides what its answer is worth.
func next(schedule *cron.SpecSchedule, after time.Time, zone *time.Location) time.Time {
	for wall := onWall(after, zone); ; {
		wall = schedule.Next(wall)
		if wall.IsZero() {
			return time.Time{}
		}
		// In the second pass of a doubled hour the wall shows times whose instant has been.
		if at := instant(wall, zone); at.After(after) {
			return at
		}
	}
}

// onWall is what the clock on the wall of zone shows, written as if it were UTC.
func onWall(at time.Time, zone *time.Location) time.Time {
	at = at.In(zone)
	return time.Date(at.Year(), at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), 0, time.UTC)
}

// instant is when the clock on the wall of zone first shows a time, given as onWall writes it. For a time that is
// missing, because the clock was put forward over it, it is the minute that the clock was put to.
func instant(wall time.Time, zone *time.Location) time.Time {
	const far = 25 * time.Hour // beyond any offset from UTC and the change of one
	_, before := wall.Add(-far).In(zone).Zone()
	_, after := wall.Add(far).In(zone).Zone()
	first := wall.Add(-time.Duration(max(before, after)) * time.Second).In(zone)
	second := wall.Add(-time.Duration(min(before, after)) * time.Second).In(zone)
	switch {
	case onWall(first, zone).Equal(wall):
		return first
	case onWall(second, zone).Equal(wall):
		return second
	}
	start, _ := second.ZoneBounds()
	return start.In(zone)
}

// sinceMidnight is what the clock on the wall shows.
func sinceMidnight(at time.Time, zone *time.Location) time.Duration {
	wall := onWall(at, zone)
	return wall.Sub(wall.Truncate(24 * time.Hour))
}

// open says whether the window is open.
func open(window config.Window, at time.Time, zone *time.Location) bool {
	return window.Holds(sinceMidnight(at, zone))
}

// closes is when the window that is open at the given time ends.
func closes(window config.Window, at time.Time, zone *time.Location) time.Time {
	wall := onWall(at, zone)
	end := wall.Truncate(24 * time.Hour).Add(window.Until)
	if !end.After(wall) {
		end = end.Add(24 * time.Hour)
	}
	if until := instant(end, zone); until.After(at) {
		return until
	}
	return at.Add(end.Sub(wall)) // the second pass of a doubled hour
}

// opens is the first time, from the given one on, at which the window is open. One that lies in a missing hour is
// not there that day.
func opens(window config.Window, from time.Time, zone *time.Location) time.Time {
	if open(window, from, zone) {
		return from
	}
	day := onWall(from, zone).Truncate(24 * time.Hour)
	for {
		if at := instant(day.Add(window.From), zone); at.After(from) && open(window, at, zone) {
			return at
		}
		day = day.Add(24 * time.Hour)
	}
}
