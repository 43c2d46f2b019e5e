// Package maintenance does a host's housekeeping: daily, weekly and monthly tasks, each of them when it is due, once, and
// one that disturbs the site only inside the window. It is called every hour and remembers in <state>/maintenance.json
// what it has tried, so that a host that slept catches up, and no task runs twice.
package maintenance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

// Task is one piece of housekeeping under a name of config.MaintenanceTasks.
type Task struct {
	Name string
	// Disruptive tasks are noticed by the users of the site: they wait for the window, and are not tried again by
	// themselves when they fail.
	Disruptive bool
	// Alone tasks hold the locks of all sites while they run: a backup must not lose its database under way.
	Alone bool
	Run   func(ctx context.Context, run *job.Run) error
	// Preview says what Run would do, and changes nothing.
	Preview func(ctx context.Context, to io.Writer) error
}

// Check refuses a configuration that names a task which this program cannot do.
func Check(settings config.Maintenance, tasks []Task) error {
	var problems []error
	for _, schedule := range settings.Schedules() {
		for _, name := range schedule.Tasks {
			if find(tasks, name) == nil {
				problems = append(problems, fmt.Errorf("maintenance.%s.tasks: this version of moodle-exporter cannot do %q yet; take it out of the list", schedule.Name, name))
			}
		}
	}
	return errors.Join(problems...)
}

func find(tasks []Task, name string) *Task {
	for i := range tasks {
		if tasks[i].Name == name {
			return &tasks[i]
		}
	}
	return nil
}

// Failures are the tasks of one run that did not do their work.
type Failures []Failure

// Failure is one of them.
type Failure struct {
	Task string
	Err  error
}

func (f Failures) Error() string {
	names, lines := make([]string, len(f)), make([]string, len(f))
	for i, failure := range f {
		names[i] = failure.Task
		lines[i] = fmt.Sprintf("%s: %v", failure.Task, failure.Err)
	}
	if len(f) == 1 {
		return lines[0]
	}
	return fmt.Sprintf("%d tasks failed (%s):\n%s", len(f), strings.Join(names, ", "), strings.Join(lines, "\n"))
}

// Unwrap shows what the tasks failed of only where that is true of all of them: a backup that lacks some of the site's
// files must not make a run a success in which an upgrade failed.
func (f Failures) Unwrap() []error {
	if slices.ContainsFunc(f, func(one Failure) bool { return !errors.Is(one.Err, job.ErrPartial) }) {
		return nil
	}
	wrapped := make([]error, len(f))
	for i, failure := range f {
		wrapped[i] = failure.Err
	}
	return wrapped
}
