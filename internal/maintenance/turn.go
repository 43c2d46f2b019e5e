package maintenance

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
)

// turn is a task in one schedule, with what is remembered of it.
type turn struct {
	key      string // schedule/task
	schedule string
	cron     *cron.SpecSchedule
	entry    *entry
}

// chore is a task with its turns in all the schedules that name it. However many of them are due, it runs once.
type chore struct {
	*Task
	turns []turn
}

// chores pairs the tasks that the settings name with what is remembered, in the order in which they run. Of those that
// are new it remembers now; of others, nothing any more.
func (s *state) chores(settings config.Maintenance, tasks []Task, now time.Time) (list []chore, changed bool, err error) {
	if err := Check(settings, tasks); err != nil {
		return nil, false, err
	}
	times := map[string]*cron.SpecSchedule{}
	for _, schedule := range settings.Schedules() {
		if times[schedule.Name], err = config.ParseCron(schedule.At); err != nil {
			return nil, false, fmt.Errorf("maintenance.%s.at: %w", schedule.Name, err)
		}
	}
	named := map[string]bool{}
	for i := range tasks {
		one := chore{Task: &tasks[i]}
		for _, schedule := range settings.Schedules() {
			if !slices.Contains(schedule.Tasks, one.Name) {
				continue
			}
			key := schedule.Name + "/" + one.Name
			named[key] = true
			if s.Tasks[key] == nil {
				s.Tasks[key], changed = &entry{Settled: now}, true
			}
			changed = s.Tasks[key].forgetFuture(now) || changed
			one.turns = append(one.turns, turn{key, schedule.Name, times[schedule.Name], s.Tasks[key]})
		}
		if len(one.turns) > 0 {
			list = append(list, one)
		}
	}
	for key := range s.Tasks {
		if !named[key] {
			delete(s.Tasks, key)
			changed = true
		}
	}
	return list, changed, nil
}

// ready keeps the chores that are to be done now, each with the turns that are due. With a schedule named, these are all
// of its tasks, due or not and whether or not the window is open: somebody asked for them.
func ready(list []chore, now time.Time, zone *time.Location, window config.Window, named string) []chore {
	var doing []chore
	for _, one := range list {
		one.turns = slices.Clone(one.turns)
		one.turns = slices.DeleteFunc(one.turns, func(t turn) bool {
			if named != "" {
				return t.schedule != named
			}
			at := t.entry.due(t.cron, one.Disruptive, zone)
			return at.IsZero() || at.After(now)
		})
		if len(one.turns) > 0 && (named != "" || one.may(now, zone, window)) {
			doing = append(doing, one)
		}
	}
	return doing
}

// may says whether the task may be done at this time of the day.
func (t *Task) may(now time.Time, zone *time.Location, window config.Window) bool {
	return !t.Disruptive || open(window, now, zone)
}

// next is when the first of the turns will be taken by a caller that calls all the time: now, if it is due.
func (c *chore) next(now time.Time, zone *time.Location, window config.Window) (at time.Time, schedule string) {
	for _, t := range c.turns {
		due := t.entry.due(t.cron, c.Disruptive, zone)
		if due.IsZero() {
			continue
		}
		if due.Before(now) {
			due = now
		}
		if c.Disruptive {
			due = opens(window, due, zone)
		}
		if at.IsZero() || due.Before(at) {
			at, schedule = due, t.schedule
		}
	}
	return at, schedule
}

// planned is when a disruptive task that begins now is said to leave the site alone again.
func planned(now time.Time, zone *time.Location, window config.Window) time.Time {
	if open(window, now, zone) {
		return closes(window, now, zone)
	}
	return now.Add(unplanned)
}

// unplanned is what is announced for a run that somebody asked for outside the window.
const unplanned = time.Hour

// ErrNoSchedule is a name that is none of daily, weekly and monthly.
var ErrNoSchedule = errors.New("no such schedule")
