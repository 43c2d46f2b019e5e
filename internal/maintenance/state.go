package maintenance

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

// state is what is remembered between two calls, format 1.
type state struct {
	Format int               `json:"format"`
	Tasks  map[string]*entry `json:"tasks"` // by schedule and task: daily/tmp
	// forgotten is why the file could not be understood. Maintenance then starts anew: it cannot know what is due.
	forgotten error
}

// entry is what is remembered of one task of one schedule.
type entry struct {
	// Settled is the time up to which nothing is due any more: when the task was first seen, and then when it was last
	// begun. So nothing runs at once because it is new, and nothing is begun twice.
	Settled time.Time `json:"settled"`
	// Attempts that failed since the task last did its work, and when the last of them began.
	Attempts int        `json:"attempts,omitempty"`
	Tried    *time.Time `json:"tried,omitempty"`
	// Error is why the last attempt failed. It is written before the attempt: a host that goes down meanwhile leaves it.
	Error       string     `json:"error,omitempty"`
	LastSuccess *time.Time `json:"last_success,omitempty"`
}

// unfinished is the error of an attempt that has not ended.
const unfinished = "it was begun and did not end: killed, or the host went down"

// patience are the times after which a failed task is tried again, until its schedule comes due anew. They are a bit
// short of whole hours, for calls that come a bit early.
var patience = []time.Duration{30 * time.Minute, 6*time.Hour - 30*time.Minute, 24*time.Hour - 30*time.Minute}

// clockBack is how far the clock may have been put back without anything being thought of it but that it goes on from
// there. What is remembered from further ahead was written by a clock that was wrong.
const clockBack = 24 * time.Hour

// due is when the task came due that is not begun yet, or will: the next time of its schedule, or of another attempt.
func (e *entry) due(schedule *cron.SpecSchedule, disruptive bool, zone *time.Location) time.Time {
	at := next(schedule, e.Settled, zone)
	if e.Attempts == 0 || e.Attempts > len(patience) || disruptive || e.Tried == nil {
		return at
	}
	if again := e.Tried.Add(patience[e.Attempts-1]); at.IsZero() || again.Before(at) {
		return again
	}
	return at
}

// begin notes an attempt before it is made.
func (e *entry) begin(schedule *cron.SpecSchedule, now time.Time, zone *time.Location) {
	if at := next(schedule, e.Settled, zone); !at.IsZero() && !at.After(now) {
		e.Attempts = 0 // a new turn, and no more attempts of the old one
	}
	e.Settled, e.Tried, e.Error = now, &now, unfinished
	e.Attempts++
}

// end notes how the attempt went.
func (e *entry) end(now time.Time, err error) {
	if err != nil {
		e.Error = err.Error()
		return
	}
	e.Attempts, e.Tried, e.Error, e.LastSuccess = 0, nil, "", &now
}

// forgetFuture starts anew where the clock was wrong when the entry was written: otherwise nothing would be due before
// that time has come.
func (e *entry) forgetFuture(now time.Time) (changed bool) {
	if e.Settled.Sub(now) <= clockBack && (e.Tried == nil || e.Tried.Sub(now) <= clockBack) {
		return false
	}
	e.Settled, e.Attempts, e.Tried = now, 0, nil
	return true
}

func statePath(stateDir string) string { return filepath.Join(stateDir, "maintenance.json") }

const stateLimit = 1 << 20

// readState reads what is remembered; nothing before the first call.
func readState(stateDir string) (*state, error) {
	fresh := &state{Format: 1, Tasks: map[string]*entry{}}
	info, err := os.Stat(statePath(stateDir))
	if errors.Is(err, fs.ErrNotExist) {
		return fresh, nil
	}
	if err == nil && (info.Size() > stateLimit || !info.Mode().IsRegular()) {
		err = fmt.Errorf("%s is not ours", statePath(stateDir))
	}
	var content []byte
	if err == nil {
		content, err = os.ReadFile(statePath(stateDir))
	}
	if err != nil {
		return nil, fmt.Errorf("read when maintenance last ran: %w", err)
	}
	var read state
	if err = json.Unmarshal(content, &read); err == nil && read.Format != 1 {
		err = errors.New("it is of another version")
	}
	if err != nil {
		fresh.forgotten = fmt.Errorf("%s cannot be understood (format %d): %w", statePath(stateDir), read.Format, err)
		return fresh, nil
	}
	for key, one := range read.Tasks {
		if one == nil {
			delete(read.Tasks, key)
		}
	}
	if read.Tasks == nil {
		read.Tasks = fresh.Tasks
	}
	return &read, nil
}

func (s *state) write(stateDir string, group int) error {
	if err := job.EnsureDir(stateDir, group); err != nil {
		return err
	}
	content, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("remember when maintenance ran: %w", err)
	}
	if err := job.WriteFile(statePath(stateDir), append(content, '\n'), 0o640, group); err != nil {
		return fmt.Errorf("remember when maintenance ran: %w", err)
	}
	return nil
}
