package control

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrCronBusy is a task that was still running when the time was over.
var ErrCronBusy = errors.New("tasks of cron are still running")

// BusyError says who was still at work. It is an ErrCronBusy.
type BusyError struct {
	Waited  time.Duration
	Tasks   []string // classes, as cron.php --list tells them
	Workers []Worker // processes of this host
}

// Error implements error.
func (e *BusyError) Error() string {
	var who []string
	who = append(who, e.Tasks...)
	for _, worker := range e.Workers {
		who = append(who, fmt.Sprintf("%s (process %d)", worker.Script, worker.PID))
	}
	text := fmt.Sprintf("%v after %v", ErrCronBusy, e.Waited)
	if len(who) > 0 {
		text += ": " + strings.Join(who, ", ")
	}
	return text
}

// Is makes it an ErrCronBusy.
func (*BusyError) Is(target error) bool { return target == ErrCronBusy }

// workerPoll is how often processes are looked for.
const workerPoll = 200 * time.Millisecond

// CronDisableWait switches cron off and waits for running tasks, for at most so many seconds, and for the processes of
// cron on this host to end. Whatever comes back, cron is off then, until CronEnable: a maintenance file alone does not
// stop a cron.php that is running already.
func (c CLI) CronDisableWait(ctx context.Context, seconds int) error {
	limit := time.Duration(max(seconds, 1)) * time.Second
	began := time.Now()
	output, err := c.run(ctx, "admin/cli/cron.php", "--disable-wait="+strconv.Itoa(max(seconds, 1)))
	var failure *ScriptError
	if errors.As(err, &failure) && failure.Code == 1 && !brokeOff(output) {
		// A task whose process was killed counts as running for an hour, so name them.
		tasks, listed := c.CronTasks(ctx)
		workers, _ := Workers(procRoot, c.Site)
		if listed == nil {
			err = nil // the last one may have ended just now
		}
		if len(tasks) > 0 {
			err = &BusyError{Waited: limit, Tasks: tasks, Workers: workers}
		}
	}
	if err != nil {
		return fmt.Errorf("stop cron of site %s: %w", c.Site.Name, err)
	}
	// An idle process that waits for new tasks ends within about a second, and one of scheduled_task.php with its task.
	for {
		workers, err := Workers(procRoot, c.Site)
		switch {
		case err != nil:
			return fmt.Errorf("stop cron of site %s: %w", c.Site.Name, err)
		case len(workers) == 0:
			return nil
		case time.Since(began) > limit+workerGrace:
			return fmt.Errorf("stop cron of site %s: %w", c.Site.Name, &BusyError{Waited: limit, Workers: workers})
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("stop cron of site %s: %w", c.Site.Name, ctx.Err())
		case <-time.After(workerPoll):
		}
	}
}

// workerGrace is what idle processes get beyond the time for tasks.
const workerGrace = 5 * time.Second

// CronEnable switches cron on.
func (c CLI) CronEnable(ctx context.Context) error {
	if _, err := c.run(ctx, "admin/cli/cron.php", "--enable"); err != nil {
		return fmt.Errorf("switch cron of site %s on: %w", c.Site.Name, err)
	}
	return nil
}

// CronTasks are the classes of the tasks that are marked as running.
func (c CLI) CronTasks(ctx context.Context) ([]string, error) {
	output, err := c.run(ctx, "admin/cli/cron.php", "--list")
	if err != nil {
		return nil, fmt.Errorf("list running tasks: %w", err)
	}
	return runningTasks(output), nil
}

// runningTasks takes the last column of a table with two lines of heading, which are translated or not.
func runningTasks(output string) (tasks []string) {
	for line := range strings.Lines(output) {
		fields := strings.Fields(line)
		if len(fields) < 4 {
			continue
		}
		if _, err := strconv.Atoi(fields[0]); err == nil {
			tasks = append(tasks, fields[len(fields)-1])
		}
	}
	slices.Sort(tasks)
	return slices.Compact(tasks)
}
