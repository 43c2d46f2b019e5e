package job

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
)

// ErrPartial is a job that did its work, but with more of the site missing than was accepted.
var ErrPartial = errors.New("done, but something of the site is missing")

// Runner runs jobs and keeps their records.
type Runner struct {
	StateDir string           // records, history and logs
	LockDir  string           // /run/moodle-exporter
	ProcRoot string           // /proc
	Group    int              // gid that may read records and logs, -1 for none
	Clock    func() time.Time // wall clock
	Logger   *slog.Logger
	Watch    func(Record) // told of every change of a run, for a terminal; nil for none
}

// Spec names one run.
type Spec struct {
	Job  string // backup, verify, …: file name and label
	Site string // config.HostName for the whole host
	// Held is a lock passed down by a job that runs this one.
	Held *Lock
	// PlannedUntil announces the end of a maintenance window.
	PlannedUntil *time.Time
	// WorthMore goes on with a run that cannot be recorded, say because the disk of the state directory is
	// full: what it makes is worth more than its record. The run then ends with an error, whatever it made.
	WorthMore bool
}

// Do takes the lock, runs work and records how it went. The error is work's own, ErrLocked, or what kept
// the run from being recorded. A run that failed never takes away the last success of the ones before.
func (r *Runner) Do(ctx context.Context, spec Spec, work func(context.Context, *Run) error) error {
	lock := spec.Held
	if lock == nil {
		own := filepath.Join(r.LockDir, spec.Site+".lock")
		var err error
		if lock, err = Acquire(own); err != nil {
			return err
		}
		defer lock.Release()
	}
	run, err := r.begin(spec, lock)
	if err != nil {
		return fmt.Errorf("record the run: %w", err)
	}
	if err := run.open(); err != nil {
		if !spec.WorthMore {
			return fmt.Errorf("record the run: %w", errors.Join(err, run.close()))
		}
		run.silent = true
		run.Logger.Error("this run cannot be recorded and goes on all the same; metrics and status show the run before it", "err", err)
	}
	stop := run.heartbeat(ctx)
	err = guard(ctx, run, work)
	stop()
	return errors.Join(err, run.end(ctx, err))
}

// guard turns a panic into a failed run: the record must not say running for ever.
func guard(ctx context.Context, run *Run, work func(context.Context, *Run) error) (err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			run.Logger.Error("the job broke; this is a bug worth a report", "panic", panicked, "stack", string(debug.Stack()))
			err = fmt.Errorf("internal error: %v", panicked)
		}
	}()
	return work(ctx, run)
}

func (r *Runner) begin(spec Spec, lock *Lock) (*Run, error) {
	if spec.Site != config.HostName && !config.ValidName.MatchString(spec.Site) {
		return nil, fmt.Errorf("%q is no site name", spec.Site)
	}
	path := filepath.Join(r.StateDir, "jobs", spec.Site, spec.Job+".json")
	discardTemporaries(path)
	last, err := previous(path)
	if err != nil {
		r.Logger.Warn("the record of the last run cannot be read and is started anew", "job", spec.Job, "site", spec.Site, "err", err)
	}
	if last.State == Running {
		// We hold the lock, so whoever wrote this is gone.
		last = last.interrupted()
		r.remember(last)
	}
	record, err := r.newRecord(spec, last)
	if err != nil {
		return nil, err
	}
	log := r.Logger.With("job", spec.Job, "site", spec.Site, "id", record.ID)
	return &Run{runner: r, path: path, record: record, lock: lock, own: slog.New(slog.DiscardHandler), Logger: log}, nil
}

// open begins record and log on disk.
func (run *Run) open() error {
	r, site := run.runner, run.record.Site
	for _, dir := range []string{r.StateDir, filepath.Join(r.StateDir, "jobs"), filepath.Join(r.StateDir, "jobs", site), filepath.Join(r.StateDir, "log")} {
		if err := EnsureDir(dir, r.Group); err != nil {
			return err
		}
	}
	logfile, err := r.openLog(run.record)
	if err != nil {
		return err
	}
	own := slog.NewTextHandler(logfile, nil)
	run.logfile, run.own = logfile, slog.New(own)
	run.Logger = slog.New(slog.NewMultiHandler(r.Logger.Handler(), own)).With("job", run.record.Job, "site", site, "id", run.record.ID)
	return run.save()
}

func (run *Run) close() error {
	if run.logfile == nil {
		return nil
	}
	return run.logfile.Close()
}

func (r *Runner) newRecord(spec Spec, last Record) (Record, error) {
	boot, err := bootID(r.ProcRoot)
	if err != nil {
		return Record{}, err
	}
	start, err := processStart(r.ProcRoot, os.Getpid())
	if err != nil {
		return Record{}, err
	}
	now := r.Clock().UTC()
	return Record{
		Format: 1, Job: spec.Job, Site: spec.Site, ID: now.Format(IDLayout), State: Running,
		PID: os.Getpid(), PIDStart: start, BootID: boot, Started: now, PlannedUntil: spec.PlannedUntil,
		LastState: last.State, LastSuccess: last.LastSuccess, Runs: last.Runs + 1, Failures: last.Failures,
	}, nil
}

// IDLayout names runs and backups by the second in UTC.
const IDLayout = "20060102T150405Z"

// EnsureDir makes a directory that the exporter's group may read and nobody else, once.
func EnsureDir(path string, group int) error {
	if err := os.Mkdir(path, 0o750); err != nil {
		if errors.Is(err, os.ErrExist) {
			return nil
		}
		if !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("make state directory: %w", err)
		}
		if err := os.MkdirAll(path, 0o750); err != nil {
			return fmt.Errorf("make state directory: %w", err)
		}
	}
	// Not left to the umask: on a hardened host root's is 077, and the exporter would read nothing.
	err := os.Chmod(path, 0o750) //nolint:gosec // group may read
	if err == nil && group >= 0 {
		err = os.Chown(path, -1, group)
	}
	if err != nil {
		return fmt.Errorf("make state directory: %w", err)
	}
	return nil
}

func (r Record) interrupted() Record {
	r.State, r.Failures = Interrupted, r.Failures+1
	r.Error = errGone
	return r
}

const errGone = "the process ended without a word: killed, or the host went down"
