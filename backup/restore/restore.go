// Package restore brings a Moodle site back from a backup. Nothing of the live site is touched before its
// successor is complete, read back and tried beside it; then the site is closed for the seconds that the
// exchange takes, tried again, and opened. Whatever fails before that puts the old site back, and what a
// kill leaves behind is found by its journal, and undone or finished.
package restore

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

// Components that can be restored. Logs and system files are there to be read.
var Components = []string{backup.Database, backup.Files, backup.Code, backup.Config}

// Run is how a restore is watched while it works; *job.Run is one.
type Run interface {
	backup.Run
	ID() string
	Announce(until time.Time) // when a closed site is going to be open again
}

// Options say what to restore, and where to.
type Options struct {
	Reader *backup.Reader
	// Live is the site as it is found on the host; nil if there is none that can be read.
	Live *moodle.Site
	// Configured is what the configuration says of the site; Config.Sites has it.
	Configured  config.Site
	ConfigPaths []string // where the host's configuration lies; nil for the usual places
	Components  []string // some of Components; nil for all that the backup has
	WWWRoot     string   // the address that the site gets; empty for the one it has
	AllowMail   bool     // under another address the site may send mail as well
	TrustLive   bool     // content files of the live site that have the right name and size are not read

	Others    []*moodle.Site // the other sites of this host
	Root      string         // "/" but in tests
	NginxFile string         // nginx.conf
	StateDir  string
	BackupDir string   // where this host's backups lie; empty for nowhere
	PoolFiles []string // patterns of PHP-FPM pool files
	Bus       *service.Bus
	Group     int // that may read the journal; -1 for none
	Version   string
	Clock     func() time.Time
	Logger    *slog.Logger
	At        func(step string) // as in backup.Options
}

// Result is how a restore ended well.
type Result struct {
	Journal   *Journal
	Closed    time.Duration // that the site was closed
	NotMade   []error       // checks that could not be made
	Different []string      // configuration of the host that is not as in the backup, and was left alone
	Notes     []string
}

// restoration is one restore under way.
type restoration struct {
	Options
	run     Run
	plan    *Plan
	target  target
	journal *Journal
	result  Result

	wanted   map[string]bool // files of the host's configuration that are put
	database *databasePart
	code     *staging
	dataroot *staging
	// madeFiledir: there was none.
	madeFiledir bool
	// site is the restored one as it will be when it is in its place.
	site     *moodle.Site
	before   control.Before // how the site was before it was closed
	closed   time.Time      // when that was
	answered bool           // PHP-FPM was there to ask before
	pending  bool           // the trial found the database behind the code, as it was when the backup was made
}

// Restore brings the site back. The caller holds the site's lock, and has asked whether the plan may be
// carried out. An error says in which state the site is now; a *backup.RefusedError means that nothing was begun.
func Restore(ctx context.Context, o Options, run Run) (*Result, error) {
	r := &restoration{Options: o, run: run}
	if err := r.setDefaults(); err != nil {
		return nil, err
	}
	defer r.close()
	err := r.step(ctx, "preflight", r.prepare)
	if err != nil && r.journal == nil {
		return nil, err
	}
	if err == nil {
		err = r.carryOut(ctx)
	}
	if err == nil {
		r.result.Journal = r.journal
		return &r.result, nil
	}
	if r.journal.Phase == Open {
		r.result.Journal = r.journal
		return &r.result, fmt.Errorf("the site is restored and open, but the restore has not come to its end: %w", err)
	}
	r.close() // what is open in the staged trees would keep them busy
	undone := r.step(context.WithoutCancel(ctx), "undo", func(ctx context.Context) error {
		return Undo(ctx, r.Options, r.journal, r.run)
	})
	var lost *LostError
	if errors.As(undone, &lost) {
		return nil, errors.Join(err, undone)
	}
	if undone != nil {
		return nil, errors.Join(err, &UnfinishedError{Journal: r.journal, Err: undone})
	}
	return nil, fmt.Errorf("%w\nThe restore was undone: the site is as it was before", err)
}

func (r *restoration) has(component string) bool { return r.plan.has(component) }

var errUnfinished = errors.New("it was broken off")

// UnfinishedError is a restore that neither came to its end nor could be undone: the site is closed.
type UnfinishedError struct {
	Journal *Journal
	Err     error
}

func (e *UnfinishedError) Error() string {
	state := "The site is in maintenance mode, with some parts from before and some from the backup; nothing is lost: all parts are kept."
	if e.Journal.Phase == Staging {
		state = "The site is open and as it was; what was made beside it takes room."
	}
	return fmt.Sprintf("the restore %s of site %s has not come to an end: %v.\n%s\nMend what the error names, then run `moodle-exporter restore --site=%s`: it finds this restore, and undoes or finishes it.",
		e.Journal.ID, e.Journal.Site, e.Err, state, e.Journal.Site)
}

func (e *UnfinishedError) Unwrap() error { return e.Err }

func (o *Options) setDefaults() error {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.At == nil {
		o.At = func(string) {}
	}
	if o.Root == "" {
		o.Root = "/"
	}
	return nil
}

func (r *restoration) close() {
	r.database.close()
	r.code.close()
	r.dataroot.close()
	r.database, r.code, r.dataroot = nil, nil, nil
}

var _ Run = (*job.Run)(nil)
