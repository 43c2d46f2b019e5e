package backup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
)

// PruneOptions say what to keep.
type PruneOptions struct {
	Dir    string // of all backups
	Site   string
	Keep   config.Keep
	DryRun bool // find out and say, and remove nothing
	Clock  func() time.Time
	Logger *slog.Logger
	At     func(step string) // as in Options
}

// Pruning is what becomes, or would become, of the backups of a site.
type Pruning struct {
	Decisions []Decision // oldest first
	Blobs     int64      // content files that no backup needs any more
	Bytes     int64      // their size
}

// Prune removes the backups that no rule keeps, and then the content files that no backup names. It is
// refused, with nothing removed, while a backup cannot be read. The caller holds the site's lock and
// LockPath's; a dry run needs neither, and no run to be watched by.
func Prune(ctx context.Context, o PruneOptions, run Run) (*Pruning, error) {
	fillIn(&o.Clock, &o.Logger, &o.At)
	if run == nil {
		run = noRun{}
	}
	p := &pruner{
		store: store.NewDirectory(SiteDir(o.Dir, o.Site)), keep: o.Keep, now: o.Clock(), at: o.At, dry: o.DryRun, leaving: map[string]bool{},
	}
	pruning := &Pruning{}
	err := run.Step(ctx, "decide", func(ctx context.Context) (err error) {
		pruning.Decisions, err = p.check(ctx, o.Site)
		return err
	})
	if err == nil && !o.DryRun {
		err = run.Step(ctx, "remove", func(context.Context) error {
			gone, err := p.delist(pruning.Decisions)
			for _, id := range gone {
				o.Logger.Info("removed an old backup", "backup", id)
			}
			return err
		})
	}
	if err == nil {
		var held usage
		if loadJSON(ctx, p.store, usageName, &held) == nil { // without it nobody sees how far the sweep is
			run.SetTotal(held.Bytes)
		}
		p.done = run.Add
		err = run.Step(ctx, "sweep", func(ctx context.Context) error { return p.sweep(ctx, true) })
	}
	if err != nil {
		return nil, err
	}
	pruning.Blobs, pruning.Bytes = p.swept.Blobs, p.swept.Bytes
	return pruning, nil
}

// check decides, and makes sure that it can be carried out to the end.
func (p *pruner) check(ctx context.Context, site string) ([]Decision, error) {
	lists, err := p.openLists(ctx)
	closeAll(lists)
	if errors.Is(err, ErrUnreadable) {
		return nil, &RefusedError{
			Happened: "the backups of " + site + " are not pruned", Err: err, Means: "what such a backup needs would be lost",
			Do: "see `moodle-exporter backup verify --site=" + site + "`; if the backup is not worth mending, remove its directory below " + p.store.Path("") + " by hand",
		}
	}
	if err != nil {
		return nil, err
	}
	if !p.dry {
		if err := clean(p.store); err != nil {
			return nil, err
		}
	}
	decisions, err := p.decide(ctx)
	if err != nil {
		return nil, fmt.Errorf("decide which backups to keep: %w", err)
	}
	for _, decision := range decisions {
		p.leaving[decision.ID] = !decision.Keep()
	}
	return decisions, nil
}
