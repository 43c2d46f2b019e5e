package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

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
	young   int64
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
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.At == nil {
		o.At = func(string) {}
	}
	if run == nil {
		run = noRun{}
	}
	p := &offsitePruner{OffsitePruneOptions: o, local: store.NewDirectory(SiteDir(o.Dir, o.Site)), now: o.Clock()}
	defer func() { p.there.close() }()
	for _, step := range []struct {
		name string
		do   func(context.Context) error
	}{{"decide", p.decide}, {"remove", p.delist}, {"sweep", p.sweep}} {
		if err := run.Step(ctx, step.name, step.do); err != nil {
			return nil, fmt.Errorf("prune the copies of %s: %w", o.Site, err)
		}
		o.At(step.name)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
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

// staying are the copies that stay, with how their contents are called.
func (p *offsitePruner) staying() (copies []*remoteCopy) {
	for i, d := range p.pruning.Decisions {
		if !d.Keep() {
			continue
		}
		c := &remoteCopy{subject: &subject{id: d.ID, manifest: p.copies[i].Manifest}}
		if _, sealed := p.there.size(path.Join(d.ID, ciphertextName)); sealed {
			c.suffix = sealedSuffix
		}
		copies = append(copies, c)
	}
	return copies
}

// neededList is a list of content files that copies need, as they call these.
type neededList struct {
	object   string
	suffixes []string
	digest   string // of its content; empty where nobody knows it
}

// lists are those of the copies that stay, and of those under way: they have a list and no manifest yet.
func (p *offsitePruner) lists() (lists []neededList) {
	add := func(n neededList) {
		if !slices.ContainsFunc(lists, func(l neededList) bool { return l.object == n.object && slices.Equal(l.suffixes, n.suffixes) }) {
			lists = append(lists, n)
		}
	}
	for _, c := range p.staying() {
		if f, named := c.manifest.File(listName); named {
			add(neededList{objectOf(c.manifest, f, ""), []string{c.suffix}, f.ContentSHA256})
		}
	}
	for _, id := range p.there.ids() {
		name := path.Join(id, listName)
		finished := slices.ContainsFunc(p.copies, func(c Listed) bool { return c.ID == id })
		if _, there := p.there.size(name); there && !finished && p.ages[name] < unfinished {
			add(neededList{object: name, suffixes: []string{"", sealedSuffix}})
		}
	}
	return lists
}

// needed are all content files of the lists, by object.
func (p *offsitePruner) needed(ctx context.Context) (all *objectSpill, err error) {
	for _, l := range p.lists() {
		more, err := p.mergeList(ctx, l, all)
		all.close()
		if err != nil {
			return nil, err
		}
		all = more
	}
	return all, nil
}

// mergeList adds what one list names to what is needed.
func (p *offsitePruner) mergeList(ctx context.Context, l neededList, before *objectSpill) (*objectSpill, error) {
	file, err := p.From.objects.Open(ctx, l.object)
	if err != nil {
		return nil, p.mayRefuse(ctx, l.object, err)
	}
	defer file.Close()
	decoder, err := newDecoder(file)
	if err != nil {
		return nil, p.refuse(fmt.Errorf("%s: %w", l.object, err))
	}
	defer decoder.Close()
	content := newMeter()
	list := newListReader(io.TeeReader(decoder, content))
	merged, err := spillObjects(p.dir, func(add func(object) error) error {
		return meetObjects(ctx, func(_ string, found []*object) error { return add(*firstOf(found)) }, before.read(), called(list, l.suffixes))
	})
	if err == nil && l.digest != "" && content.sum() != l.digest {
		merged.close()
		merged, err = nil, errors.New("it is not the one that was written")
	}
	if err != nil {
		return nil, p.mayRefuse(ctx, l.object, err)
	}
	return merged, nil
}

// called names each content file of a list in each of the ways that objects are called.
func called(list *listReader, suffixes []string) func() (object, error) {
	var b blob
	left := 0
	return func() (o object, err error) {
		if left == 0 {
			if b, err = list.next(); err != nil {
				return o, err
			}
			left = len(suffixes)
		}
		o = poolObject(b, suffixes[len(suffixes)-left])
		left--
		return o, nil
	}
}

// mayRefuse tells a list that is not what it should be from a bucket that does not answer.
func (p *offsitePruner) mayRefuse(ctx context.Context, name string, err error) error {
	if ctx.Err() != nil || isAnswer(err) {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return p.refuse(fmt.Errorf("%s: %w", name, err))
}

// isAnswer says whether an error is of the bucket, not of what lies in it.
func isAnswer(err error) bool {
	for _, of := range []error{store.ErrDenied, store.ErrKey, store.ErrClock, store.ErrNoBucket, store.ErrRegion, store.ErrTLS, store.ErrUnreachable, store.ErrFull, store.ErrChanged} {
		if errors.Is(err, of) {
			return true
		}
	}
	return false
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
	}
	return nil
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

// sweep removes what no copy needs.
func (p *offsitePruner) sweep(ctx context.Context) error {
	pool, err := p.needed(ctx)
	if err != nil {
		return err
	}
	defer pool.close()
	workers, inner := errgroup.WithContext(ctx)
	workers.SetLimit(inFlight)
	drop := func(o object) {
		if !p.DryRun {
			workers.Go(func() error { return p.remove(inner, o.name) })
		}
	}
	for _, o := range p.unneeded() {
		drop(o)
	}
	walked := meetObjects(inner, func(_ string, found []*object) error {
		if found[0] == nil || found[1] != nil {
			return nil
		}
		p.pruning.Blobs++
		p.pruning.Bytes += found[0].size
		drop(*found[0])
		return nil
	}, p.there.pool.read(), pool.read())
	if err := workers.Wait(); err != nil {
		return err
	}
	return walked
}

// unneeded are the files of backups that no copy needs which stays, and that no copy is bringing.
func (p *offsitePruner) unneeded() (objects []object) {
	needed := map[string]bool{}
	for _, c := range p.staying() {
		for _, f := range c.manifest.Files {
			needed[objectOf(c.manifest, f, c.suffix)] = true
		}
		needed[path.Join(c.id, manifestName)], needed[path.Join(c.id, ciphertextName)] = true, true
	}
	for _, id := range p.there.ids() {
		age := unfinished
		if slices.ContainsFunc(p.pruning.Decisions, func(d Decision) bool { return d.ID == id && !d.Keep() }) {
			age = 0
		}
		for name, size := range p.there.files[id] {
			full := path.Join(id, name)
			if !needed[full] && isBackupFile(strings.TrimSuffix(name, sealedSuffix)) && p.ages[full] >= age {
				objects = append(objects, object{name: full, size: size})
			}
		}
	}
	return objects
}
