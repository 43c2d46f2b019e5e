package moodle

import (
	"errors"
	"testing"
	"time"
)

// TestCountRests: a pass that took long is not made again for twenty times as long.
func TestCountRests(t *testing.T) {
	now := time.Unix(1795337400, 0)
	r := NewTaskReader(func() time.Time { return now })
	passes, took := 0, time.Second
	broken := errors.New("too long")
	count := func(key tableVersion) (int, error) {
		q, err := r.count(key, func() (queue, error) {
			passes++
			now = now.Add(took)
			return queue{due: passes}, broken
		})
		return q.due, err
	}
	steps := []struct {
		later time.Duration
		site  string
		want  int
	}{
		{0, "lms", 1},
		{18 * time.Second, "lms", 1}, // with the pass itself 19 s
		{0, "campus", 2},             // another table rests by itself; its pass takes the 20th second
		{0, "lms", 3},
		{-time.Hour, "lms", 4}, // the clock was set back: no rest of an hour
	}
	for i, step := range steps {
		now = now.Add(step.later)
		if due, err := count(tableVersion{table: step.site}); due != step.want || !errors.Is(err, broken) {
			t.Errorf("step %d: pass %d (%v), want %d", i, due, err, step.want)
		}
	}
	took = 0 // too short to be seen: no rest at all
	now = now.Add(time.Hour)
	for want := 5; want < 8; want++ {
		if due, _ := count(tableVersion{table: "lms"}); due != want {
			t.Errorf("pass %d, want %d", due, want)
		}
	}
}
