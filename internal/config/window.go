package config

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Window is a part of each day in local time, such as 02:00-05:00; it may lie over midnight (22:00-04:00).
type Window struct {
	From, Until time.Duration // since midnight on the clock on the wall
}

const (
	day = 24 * time.Hour
	// shortest is the time between two calls of maintain: a shorter window might never see one.
	shortest = time.Hour
)

// UnmarshalText reads 02:00-05:00.
func (w *Window) UnmarshalText(text []byte) error {
	from, until, found := strings.Cut(string(text), "-")
	start, err := ofDay(from)
	end, wrong := ofDay(until)
	if err = errors.Join(err, wrong); err != nil || !found || start == day {
		return fmt.Errorf("window: %q is not a part of the day such as 02:00-05:00", text)
	}
	if (end-start+day)%day < shortest && (end-start) != day {
		return fmt.Errorf("window: %q is shorter than an hour, and maintain is called once an hour; for the whole day write 00:00-24:00", text)
	}
	w.From, w.Until = start, end
	return nil
}

// MarshalText writes 02:00-05:00.
func (w Window) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// String writes 02:00-05:00.
func (w Window) String() string { return clock(w.From) + "-" + clock(w.Until) }

// Holds says whether a time since midnight lies in the window. Its end does not.
func (w Window) Holds(sinceMidnight time.Duration) bool {
	if w.From < w.Until {
		return w.From <= sinceMidnight && sinceMidnight < w.Until
	}
	return w.From <= sinceMidnight || sinceMidnight < w.Until
}

func clock(t time.Duration) string {
	return fmt.Sprintf("%02d:%02d", int(t.Hours()), int(t.Minutes())%60)
}

// ofDay reads 00:00 to 24:00.
func ofDay(text string) (time.Duration, error) {
	text = strings.TrimSpace(text)
	if text == "24:00" {
		return day, nil
	}
	parsed, err := time.Parse("15:04", text)
	return time.Duration(parsed.Hour())*time.Hour + time.Duration(parsed.Minute())*time.Minute, err //nolint:wrapcheck // said by the caller
}
