package backup

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"slices"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
)

// OffsitePruneOptions say which copies to keep.
type OffsitePruneOptions struct {
	Dir    string // of all backups on this host
	Site   string
	From   *Offsite // with a key that may delete
	Keep   config.Keep
	DryRun bool // find out and say, and remove nothing
	Clock  func() time.Time
	Logger *slog.Logger
	At     func(step string) // as in Options
}

const (
	// offsiteGrace is how long an object that no copy needs stays: a copy that another host is making may count on it.
	offsiteGrace = 48 * time.Hour
	// unfinished is how long the list of a copy without manifest keeps what it names: a first copy over a
	// slow line takes weeks, and is not to be begun again because of a night's break.
	unfinished = 30 * 24 * time.Hour
)

// offsitePruner removes copies that no rule keeps, and then objects that no copy needs.
type offsitePruner struct {
	OffsitePruneOptions
	local *store.Directory
	dir   string
	now   time.Time

	there   *listing
	ages    map[string]time.Duration // of files of backups
	copies  []Listed
	pruning Pruning
}

// PruneOffsite removes the copies that no rule keeps, and then the objects that no copy needs. It is
// refused, with nothing removed, while the manifest or the list of content files of a copy cannot be read,
// or if the key may not delete. A file that several copies share stays as long as one of them does. The
// caller holds the lock that copies of the site take; a dry run needs none, and no run to be watched by.
//
// Where the bucket keeps versions, deleting only hides: the bucket's own rules decide when the space comes
// back.
func PruneOffsite(ctx context.Context, o OffsitePruneOptions, run Run) (*Pruning, error) {
	fillIn(&o.Clock, &o.Logger, &o.At)
	if run == nil {
		run = noRun{}
	}
	p := &offsitePruner{OffsitePruneOptions: o, local: store.NewDirectory(SiteDir(o.Dir, o.Site)), now: o.Clock()}
	defer func() { p.there.close() }()
	if err := runSteps(ctx, run, o.At, step{"decide", p.decide}, step{"remove", p.delist}, step{"sweep", p.sweep}); err != nil {
		return nil, fmt.Errorf("prune the copies of %s: %w", o.Site, err)
	}
	return &p.pruning, nil
}

func (p *offsitePruner) refuse(err error) error {
	return &RefusedError{
		Happened: "the copies of " + p.Site + " are not pruned", Err: err, Means: "what such a copy needs would be lost",
		Do: "copy again with `moodle-exporter backup copy --site=" + p.Site + "`, which mends what this host still has; if the copy is not worth mending, remove its objects by hand",
	}
}

// decide lists all there is, and makes sure that it is understood.
func (p *offsitePruner) decide(ctx context.Context) (err error) {
	if p.dir, err = makeOffsiteDir(p.local); err != nil {
		return err
	}
	if err := p.look(ctx); err != nil {
		return err
	}
	if p.copies, err = ListOffsite(ctx, p.Dir, p.Site, p.From); err != nil {
		return err
	}
	for _, c := range p.copies {
		if c.Manifest == nil {
			return p.refuse(c.Problem)
		}
	}
	p.pruning.Decisions = Retain(candidates(p.copies), p.Keep, p.now)
	pool, err := p.needed(ctx)
	pool.close()
	return err
}

// look takes a listing without what is so young that a copy under way may count on it.
func (p *offsitePruner) look(ctx context.Context) (err error) {
	p.ages = map[string]time.Duration{}
	p.there, err = p.From.list(ctx, p.dir, func(info store.Info) bool {
		return p.now.Sub(info.ModTime) >= offsiteGrace
	}, func(string) {})
	if err != nil {
		return err
	}
	for _, id := range p.there.ids() {
		err := p.From.objects.List(ctx, id, func(info store.Info) error {
			p.ages[info.Name] = p.now.Sub(info.ModTime)
			return nil
		})
		if err != nil {
			return fmt.Errorf("list the copy of backup %s: %w", id, err)
		}
	}
	return nil
}

// delist takes the manifests of the copies that go: from then on they are none.
func (p *offsitePruner) delist(ctx context.Context) error {
	for _, d := range p.pruning.Decisions {
		if d.Keep() || p.DryRun {
			continue
		}
		if err := p.remove(ctx, path.Join(d.ID, manifestName)); err != nil {
			return err
		}
		if _, m, err := p.From.readRaw(ctx, d.ID); err != nil || m != nil {
			return errors.Join(fmt.Errorf("the manifest of the copy of backup %s is still there after it was removed", d.ID), err)
		}
		p.At("copy delisted")
		p.Logger.Info("removed an old copy", "backup", d.ID)
		if err := p.forget(ctx, d.ID); err != nil {
			return err
		}
	}
	return nil
}

// forget takes a copy from what this host knows to be there.
func (p *offsitePruner) forget(ctx context.Context, id string) error {
	state, known, err := loadCopied(ctx, p.local, p.From.Place)
	if err != nil || !known {
		return err
	}
	state.Copied = slices.DeleteFunc(state.Copied, func(known string) bool { return known == id })
	state.Leaving = append(state.Leaving, id)
	return saveJSON(ctx, p.local, copiedName, state)
}

func (p *offsitePruner) remove(ctx context.Context, name string) error {
	err := p.From.objects.Remove(ctx, name)
	if errors.Is(err, store.ErrDenied) {
		return &RefusedError{
			Happened: "the copies of " + p.Site + " are not pruned", Err: err, Means: "the key of this host may not delete, which is as it should be: whoever takes over the host cannot take the copies",
			Do: "pass a key that may with --access-key-file and --secret-key-file, from a place that is not this host, or let a lifecycle rule of the bucket do it",
		}
	}
	return err
}
