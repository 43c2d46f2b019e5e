// Package update brings a Moodle site to newer code. The new code is made beside the old one and asked, on the live
// database and without touching it, whether it could upgrade it; the site is backed up while it is open and once more,
// its database alone, when it is closed; then the code is exchanged and Moodle's own upgrade run. Whatever fails puts code
// and database back, and what a kill leaves behind is found by its journal, and undone or finished.
package update

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/control"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/internal/service"
)

// Run is how an update is watched while it works; *job.Run is one.
type Run interface {
	backup.Run
	ID() string
	Announce(until time.Time) // when a closed site is going to be open again
}

var _ Run = (*job.Run)(nil)

// Options say which site to update, and to what.
type Options struct {
	// Site is the site as it is found on the host. Recover alone does without: after a kill it may not be readable.
	Site       *moodle.Site
	Configured config.Site // what the configuration says of it
	Update     config.Update
	Backup     config.Backup

	To      string   // a branch, a tag or the path of a release archive; empty for what Update and the checkout say
	Plugins []Plugin // to put in, whether or not they are there
	// Insist goes on in spite of what a plan marks as wanting a word: students at a quiz, a long way back.
	Insist bool
	// Confirm is asked before anything of the site is touched; an error ends the update. nil goes on.
	Confirm func(*Plan) error

	NginxFile string   // nginx.conf
	PoolFiles []string // patterns of PHP-FPM pool files
	StateDir  string
	Bus       *service.Bus
	Group     int    // that may read the journal; -1 for none
	Version   string // of this program
	Host      string // name of this host
	CronWait  time.Duration
	// DatabaseWait is how long an undo waits for a database server that is down.
	DatabaseWait time.Duration
	Login        control.LoginCheck
	Clock        func() time.Time
	Logger       *slog.Logger
	At           func(step string) // as in backup.Options
}

// Plugin is one to put into the code.
type Plugin struct {
	Component string // mod_checklist
	File      string // its .zip
}

// Result is how an update ended well.
type Result struct {
	Plan    *Plan
	Closed  time.Duration // that the site was closed
	NotMade []error       // checks that could not be made
	Notes   []string
}

// update is one update under way.
type update struct {
	Options
	run     Run
	journal *Journal
	plan    *Plan
	result  Result

	source   source
	staging  *staging
	disk     moodle.DiskPlugins // of the live code
	fresh    moodle.DiskPlugins // of the new code
	contrib  []string           // installed plugins that Moodle does not bring along
	missing  []string           // installed plugins whose code was gone before
	schema   []string           // differences between tables and code before
	cronOn   bool
	checkout *checkout    // nil for a tree that is none
	after    *moodle.Site // the site as it will be
	before   control.Before
	closed   time.Time
	size     int64 // of the database as SQL, in bytes
	past     []job.Record
	switched time.Time
}

// Update brings the site to the wanted code. The caller holds the site's lock. An error says in which state the site is
// now; a *backup.RefusedError means that nothing of it was touched. A plan with nothing to do ends well at once.
func Update(ctx context.Context, o Options, run Run) (*Result, error) {
	u := &update{Options: o, run: run}
	u.setDefaults()
	defer u.close()
	err := u.prepare(ctx)
	if err == nil && !u.plan.UpToDate {
		err = u.begin(ctx)
	}
	if err == nil && u.plan.UpToDate {
		err = u.discard(context.WithoutCancel(ctx))
		u.result.Plan = u.plan
		return &u.result, err
	}
	if err == nil {
		err = u.steps(ctx, u.work())
	}
	if err == nil {
		u.result.Plan = u.plan
		return &u.result, nil
	}
	if u.journal == nil || u.journal.Phase == Open {
		return &u.result, err
	}
	return nil, u.undo(context.WithoutCancel(ctx), err)
}

// undo puts everything back after an error.
func (u *update) undo(ctx context.Context, err error) error {
	touched := u.journal.Phase != Staging
	u.close() // what is open in the staged tree would keep it busy
	undone := u.step(ctx, "undo", func(ctx context.Context) error { return Undo(ctx, u.Options, u.journal, u.run) })
	if undone != nil {
		return errors.Join(err, &UnfinishedError{Journal: u.journal, Err: undone})
	}
	if !touched {
		return err
	}
	return fmt.Errorf("%w\nThe update was undone: the site is as it was before%s", err, u.journal.keptWords())
}

// MakePlan finds out what Update would do, and what stands in its way. Nothing of the site is touched; the new code is
// made beside it, tried, and removed again.
func MakePlan(ctx context.Context, o Options, run Run) (*Plan, error) {
	u := &update{Options: o, run: run}
	u.setDefaults()
	defer u.close()
	err := u.prepare(ctx)
	if u.journal != nil {
		err = errors.Join(err, u.discard(context.WithoutCancel(ctx)))
	}
	return u.plan, err
}

// prepare makes the new code and goes through all that could stand in the way of it.
func (u *update) prepare(ctx context.Context) error {
	return u.steps(ctx, []step{{"look", u.look}, {"stage", u.stage}, {"preflight", u.preflight}})
}

// begin refuses what the plan says cannot be done, and asks.
func (u *update) begin(context.Context) error {
	if err := u.plan.Refusal(u.Insist); err != nil {
		return err
	}
	if u.Confirm == nil {
		return nil
	}
	return u.Confirm(u.plan)
}

// work are the steps that touch the site, in their order.
func (u *update) work() []step {
	return []step{
		{"backup", u.backUp}, {"cron", u.drainCron}, {"close", u.closeSite}, {"dump", u.dump}, {"switch", u.exchange},
		{"upgrade", u.upgrade}, {"purge", u.purge}, {"check", u.check}, {"open", u.open}, {"visit", u.visit}, {"finish", u.finish},
	}
}

type step struct {
	name string
	do   func(context.Context) error
}

func (u *update) steps(ctx context.Context, steps []step) error {
	for _, s := range steps {
		if err := u.step(ctx, s.name, s.do); err != nil {
			return err
		}
	}
	return nil
}

func (u *update) step(ctx context.Context, name string, do func(context.Context) error) error {
	err := u.run.Step(ctx, name, do)
	if err == nil {
		u.At(name)
		err = ctx.Err()
	}
	var refusal *backup.RefusedError
	if err != nil && ctx.Err() == nil && !errors.As(err, &refusal) {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return err
}

// Defaults of Options.
const (
	defaultCronWait     = 10 * time.Minute
	defaultDatabaseWait = 2 * time.Minute
)

func (o *Options) setDefaults() {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.At == nil {
		o.At = func(string) {}
	}
	if o.CronWait == 0 {
		o.CronWait = defaultCronWait
	}
	if o.DatabaseWait == 0 {
		o.DatabaseWait = defaultDatabaseWait
	}
}

func (u *update) close() {
	u.staging.close()
	u.staging = nil
}
