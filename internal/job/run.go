package job

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// Run is one run at work. Its methods may be called from several goroutines.
type Run struct {
	Logger *slog.Logger // to the terminal or journal and to the run's own log

	runner  *Runner
	path    string
	lock    *Lock
	logfile *os.File     // nil if it could not be opened
	own     *slog.Logger // to the run's own log alone
	silent  bool         // it has been said that the record cannot be written

	mu     sync.Mutex
	record Record
}

// ID names the run: its start in UTC.
func (run *Run) ID() string { return run.record.ID }

// Lock is passed down to jobs that this one runs.
func (run *Run) Lock() *Lock { return run.lock }

// LockFiles are inherited by every child that can change the site.
func (run *Run) LockFiles() []*os.File { return run.lock.Files() }

// AddLock takes one more lock, which is held and inherited like the site's own. ErrLocked if another job has it.
func (run *Run) AddLock(path string) error { return run.lock.add(path) }

// Step runs one named part; its start, end and error stand in the record. Steps may run at the same time.
func (run *Run) Step(ctx context.Context, name string, part func(context.Context) error) error {
	var index int
	run.change(func(r *Record) {
		index = len(r.Steps)
		r.Steps = append(r.Steps, Step{Name: name, Started: run.now()})
	})
	err := part(ctx)
	run.change(func(r *Record) {
		ended := run.now()
		r.Steps[index].Ended = &ended
		if err != nil {
			r.Steps[index].Error = err.Error()
		}
	})
	return err
}

// SetTotal announces how many bytes there are to do.
func (run *Run) SetTotal(bytes int64) { run.count(func(r *Record) { r.TotalBytes = bytes }) }

// Add says that so many more bytes are done. It is cheap: the record on disk follows with the heartbeat.
func (run *Run) Add(bytes int64) { run.count(func(r *Record) { r.DoneBytes += bytes }) }

// ChildStarted records a process group that now holds the lock as well.
func (run *Run) ChildStarted(pgid int) {
	run.change(func(r *Record) { r.PGIDs = append(r.PGIDs, pgid) })
}

func (run *Run) now() time.Time { return run.runner.Clock().UTC() }

func (run *Run) count(apply func(*Record)) {
	run.mu.Lock()
	defer run.mu.Unlock()
	apply(&run.record)
}

// change applies and saves. A record that cannot be written is no reason to stop a backup half way: the
// end of the run says so.
func (run *Run) change(apply func(*Record)) {
	run.count(apply)
	if err := run.save(); err != nil && !run.silent {
		run.Logger.Warn("the record of this run cannot be written; metrics and status lag behind", "err", err)
	}
}

// save writes the record and tells the watcher.
func (run *Run) save() error {
	run.mu.Lock()
	defer run.mu.Unlock()
	content, err := json.MarshalIndent(&run.record, "", "  ")
	if err != nil {
		return err
	}
	err = WriteFile(run.path, append(content, '\n'), 0o640, run.runner.Group)
	if run.runner.Watch != nil {
		run.runner.Watch(run.record)
	}
	return err
}

const heartbeatEvery = time.Second

// heartbeat keeps the progress on disk fresh while a long step runs, until the returned function is called.
func (run *Run) heartbeat(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(heartbeatEvery)
		defer tick.Stop()
		seen := int64(-1)
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				run.mu.Lock()
				moved := run.record.DoneBytes != seen
				seen = run.record.DoneBytes
				run.mu.Unlock()
				if moved {
					_ = run.save() // the next step reports a disk that cannot be written
				}
			}
		}
	})
	return func() { cancel(); done.Wait() }
}

// end writes the outcome into record, history and the run's own log; to the terminal it goes with the error
// that Do returns.
func (run *Run) end(ctx context.Context, outcome error) error {
	run.count(func(r *Record) {
		now := run.now()
		r.Ended, r.State, r.PGIDs = &now, stateOf(ctx, outcome), nil
		if outcome != nil {
			r.Error = outcome.Error()
		}
		if r.State.Good() {
			r.LastSuccess = &now
		} else {
			r.Failures++
		}
	})
	// The log first: whoever follows it reads it to its end when the record says that there is one.
	if outcome != nil {
		run.own.Error("ended", "state", run.record.State, "err", outcome)
	} else {
		run.own.Info("ended", "state", run.record.State)
	}
	err := run.save()
	run.runner.remember(run.record)
	run.runner.pruneLogs(run.record)
	if err != nil {
		err = fmt.Errorf("the job %s has ended (%s), but that cannot be recorded: %w\nMetrics and status show the run before it. Make room for %s",
			run.record.Job, run.record.State, err, run.runner.StateDir)
	}
	return errors.Join(err, run.close())
}

func stateOf(ctx context.Context, outcome error) State {
	switch {
	case outcome == nil:
		return OK
	case errors.Is(outcome, ErrPartial):
		return Partial
	case ctx.Err() != nil:
		return Interrupted
	}
	return Failed
}
