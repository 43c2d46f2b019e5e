package maintenance

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
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
	// Sites names the sites of this host, for their locks.
	Sites  func(context.Context) []string
	Runner *job.Runner // its state directory, locks and clock are used too
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
	spec := job.Spec{Job: Job, Site: config.HostName, Held: lock}
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

// work does one chore after another. What is not begun stays due.
func (o *Options) work(ctx context.Context, run *job.Run, doing []chore, memory *state) error {
	var failures Failures
	for _, one := range doing {
		if ctx.Err() != nil {
			break
		}
		if o.Now == "" && !one.may(o.Runner.Clock(), o.Zone, o.Settings.Window) {
			run.Logger.Info("the window has closed meanwhile; the task waits for the next one", "task", one.Name)
			continue
		}
		err, fatal := o.alone(ctx, one, func() (error, error) { return o.begun(ctx, run, one, memory) })
		if onlyLocked(err) && o.Now == "" {
			run.Logger.Info("the task waits for the next call", "task", one.Name, "err", err)
			continue
		}
		if err != nil {
			failures = append(failures, Failure{one.Name, err})
			run.Logger.Info("a task has failed; the others go on", "task", one.Name, "err", err)
		}
		if fatal != nil {
			return errors.Join(failures.orNil(), fatal)
		}
	}
	if err := failures.orNil(); err != nil {
		return err
	}
	return ctx.Err()
}

// alone takes the locks of the sites for a chore that wants them. ErrLocked if a job is at work on one of them.
func (o *Options) alone(ctx context.Context, one chore, do func() (err, fatal error)) (err, fatal error) {
	if !one.Alone {
		return do()
	}
	var paths []string
	for _, site := range o.Sites(ctx) {
		paths = append(paths, filepath.Join(o.Runner.LockDir, site+".lock"))
	}
	lock, err := job.Acquire(paths...)
	if err != nil {
		return err, nil
	}
	defer lock.Release()
	return do()
}

// begun does one chore, and remembers that before and after. What cannot be remembered is fatal: it would be done again
// every hour.
func (o *Options) begun(ctx context.Context, run *job.Run, one chore, memory *state) (err, fatal error) {
	now := o.Runner.Clock()
	before := make([]entry, len(one.turns))
	for i, t := range one.turns {
		before[i] = *t.entry
		t.entry.begin(t.cron, now, o.Zone)
	}
	if err := memory.write(o.Runner.StateDir, o.Runner.Group); err != nil {
		return nil, err
	}
	if one.Disruptive {
		run.Announce(planned(now, o.Zone, o.Settings.Window))
		defer run.Announce(time.Time{})
	}
	err = run.Step(ctx, one.Name, func(ctx context.Context) error { return one.Run(ctx, run) })
	for i, t := range one.turns {
		if onlyLocked(err) {
			*t.entry = before[i] // another job has the site: it was not begun
		} else {
			t.entry.end(o.Runner.Clock(), err)
		}
	}
	return err, memory.write(o.Runner.StateDir, o.Runner.Group)
}

// onlyLocked says whether another job is all that was in the way, for each of several sites.
func onlyLocked(err error) bool {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		return !slices.ContainsFunc(several.Unwrap(), func(one error) bool { return !onlyLocked(one) })
	}
	if inner := errors.Unwrap(err); inner != nil {
		return onlyLocked(inner)
	}
	return err == job.ErrLocked //nolint:errorlint // the innermost
}

func (f Failures) orNil() error {
	if len(f) == 0 {
		return nil
	}
	return f
}
