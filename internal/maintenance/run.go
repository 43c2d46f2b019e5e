package maintenance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

// Job is the name of the run in records and metrics.
const Job = "maintain"

// Options say what to do and with what.
type Options struct {
	Settings config.Maintenance
	Tasks    []Task         // all that can be done, in order
	Zone     *time.Location // of the schedules and the window
	Runner   *job.Runner    // its state directory, locks and clock are used too
	// Now names a schedule whose tasks are done at once; empty for those that are due.
	Now string
}

// Run does what is due as one job of the host, each task as a step of it; without anything due it is silent and leaves
// no record. A task that fails does not stop the others. Where somebody else works on the host, the tasks stay due
// for the next call; who has asked for them gets job.ErrLocked.
func Run(ctx context.Context, o Options) error {
	doing, changed, err := o.look(&state{})
	if err != nil || len(doing) == 0 && !changed {
		return err
	}
	lock, err := job.Acquire(filepath.Join(o.Runner.LockDir, config.HostName+".lock"))
	if errors.Is(err, job.ErrLocked) && o.Now == "" {
		o.Runner.Logger.Info("what is due waits for the next call: another job is at work on this host", "err", err)
		return nil
	}
	if err != nil {
		return err
	}
	defer lock.Release()
	// What was due may have been done by whoever had the lock until now.
	var memory state
	if doing, changed, err = o.look(&memory); err != nil {
		return err
	}
	if memory.forgotten != nil {
		o.Runner.Logger.Warn("housekeeping starts anew: each task runs when its schedule next comes due", "err", memory.forgotten)
	}
	if changed {
		if err := memory.write(o.Runner.StateDir, o.Runner.Group); err != nil {
			return err
		}
	}
	if len(doing) == 0 {
		return nil
	}
	spec := job.Spec{Job: Job, Site: config.HostName, Held: lock, PlannedUntil: planned(doing, o.Runner.Clock(), o.Zone, o.Settings.Window)}
	return o.Runner.Do(ctx, spec, func(ctx context.Context, run *job.Run) error { return o.work(ctx, run, doing, &memory) })
}

// look reads what is remembered into memory and finds what is to be done now.
func (o *Options) look(memory *state) (doing []chore, changed bool, err error) {
	read, err := readState(o.Runner.StateDir)
	if err != nil {
		return nil, false, err
	}
	*memory = *read
	now := o.Runner.Clock()
	list, changed, err := memory.chores(o.Settings, o.Tasks, now)
	if err != nil {
		return nil, false, err
	}
	if o.Now != "" && !o.has(o.Now) {
		return nil, false, fmt.Errorf("%w: %q; there are daily, weekly and monthly", ErrNoSchedule, o.Now)
	}
	return ready(list, now, o.Zone, o.Settings.Window, o.Now), changed, nil
}

func (o *Options) has(name string) bool {
	for _, schedule := range o.Settings.Schedules() {
		if schedule.Name == name {
			return true
		}
	}
	return false
}

// work does one chore after another.
func (o *Options) work(ctx context.Context, run *job.Run, doing []chore, memory *state) error {
	var failures Failures
	for _, one := range doing {
		if ctx.Err() != nil {
			break // what was not begun stays due
		}
		now := o.Runner.Clock()
		if o.Now == "" && !one.may(now, o.Zone, o.Settings.Window) {
			run.Logger.Info("the window has closed meanwhile; the task waits for the next one", "task", one.Name)
			continue
		}
		for _, t := range one.turns {
			t.entry.begin(t.cron, now, o.Zone)
		}
		if err := memory.write(o.Runner.StateDir, o.Runner.Group); err != nil {
			return errors.Join(failures.orNil(), err) // what cannot be remembered would be done every hour
		}
		err := run.Step(ctx, one.Name, func(ctx context.Context) error { return one.Run(ctx, run) })
		if err != nil {
			failures = append(failures, Failure{one.Name, err})
			run.Logger.Info("a task has failed; the others go on", "task", one.Name, "err", err)
		}
		for _, t := range one.turns {
			t.entry.end(o.Runner.Clock(), err)
		}
		if err := memory.write(o.Runner.StateDir, o.Runner.Group); err != nil {
			return errors.Join(failures.orNil(), err)
		}
	}
	if err := failures.orNil(); err != nil {
		return err
	}
	return ctx.Err()
}

func (f Failures) orNil() error {
	if len(f) == 0 {
		return nil
	}
	return f
}

// Preview says for each task when it comes next and what it would do now. It changes nothing.
func Preview(ctx context.Context, o Options, to io.Writer) error {
	var memory state
	if _, _, err := o.look(&memory); err != nil {
		return err
	}
	now := o.Runner.Clock()
	list, _, err := memory.chores(o.Settings, o.Tasks, now)
	if err != nil {
		return err
	}
	var failures []error
	for _, one := range list {
		if o.Now != "" && len(ready([]chore{one}, now, o.Zone, o.Settings.Window, o.Now)) == 0 {
			continue
		}
		var text strings.Builder
		table := tabwriter.NewWriter(&text, 0, 8, 2, ' ', 0)
		if err := errors.Join(one.Preview(ctx, table), table.Flush()); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", one.Name, err))
			_, _ = fmt.Fprintf(&text, "not known: %v\n", err)
		}
		_, err := fmt.Fprintf(to, "%s: %s\n%s", one.Name, one.when(now, o), indent(text.String()))
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}

// when says in words when the task comes next, and how it went.
func (c *chore) when(now time.Time, o Options) string {
	at, schedule := c.next(now, o.Zone, o.Settings.Window)
	text := fmt.Sprintf("%s, next %s", schedule, at.In(o.Zone).Format("Mon 2006-01-02 15:04 MST"))
	if !at.After(now) {
		text = schedule + ", due now"
	}
	if c.Disruptive {
		text += ", only within " + o.Settings.Window.String()
	}
	for _, t := range c.turns {
		if t.entry.Error != "" {
			text += fmt.Sprintf("; the last attempt (%s) failed: %s", t.schedule, strings.ReplaceAll(t.entry.Error, "\n", "; "))
		}
	}
	return text
}

func indent(text string) string {
	var lines strings.Builder
	for line := range strings.Lines(text) {
		lines.WriteString("    " + line)
	}
	return lines.String()
}
