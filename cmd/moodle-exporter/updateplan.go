package main

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/job"
	"github.com/moodle-exporter/moodle-exporter/internal/update"
)

// planUpdate says what an update would do. It is no job: a site that cannot be updated today has not failed.
func (e *environment) planUpdate(ctx context.Context, o update.Options) error {
	lock, err := job.Acquire(filepath.Join(e.locks(), o.Site.Name+".lock"))
	if err != nil {
		return err
	}
	defer lock.Release()
	plan, err := update.MakePlan(ctx, o, &look{id: e.clock().UTC().Format(job.IDLayout), lock: lock})
	if err != nil {
		return err
	}
	if err := plan.Text(e.stdout); err != nil || plan.UpToDate {
		return err
	}
	if plan.Refusal(o.Insist) != nil {
		return exitStatus(exitRefused) // the plan has said why
	}
	return nil
}

// look is a run that leaves no record.
type look struct {
	id   string
	lock *job.Lock
}

func (l *look) ID() string { return l.id }
func (*look) Step(ctx context.Context, _ string, part func(context.Context) error) error {
	return part(ctx)
}
func (*look) SetTotal(int64)          {}
func (*look) Add(int64)               {}
func (*look) ChildStarted(int)        {}
func (*look) Announce(time.Time)      {}
func (l *look) LockFiles() []*os.File { return l.lock.Files() }
