package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

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
