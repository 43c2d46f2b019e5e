package backup

import (
	"cmp"
	"context"
	"slices"
)

// expected is one object that copies need, each as its own lists say.
type expected struct {
	name    string
	have    *object
	wants   []want
	damaged bool // at the last verification
}

// want is what one copy expects of an object.
type want struct {
	object
	of *remoteCopy
}

// readObjects holds all that copies need against the listing, and reads those objects whose turn it is.
func (v *offsiteVerifier) readObjects(ctx context.Context) error {
	nexts := []func() (object, error){v.there.all()}
	old, end, err := readObjects(ctx, v.local, offsiteDamagedName, true)
	if err != nil {
		return err
	}
	defer end()
	nexts = append(nexts, old)
	var of []*remoteCopy
	for _, c := range v.copies {
		if c.manifest == nil || !c.wanted {
			continue
		}
		needs, end, err := v.needsOf(ctx, c)
		if err != nil {
			return err
		}
		defer end()
		for _, next := range needs {
			nexts, of = append(nexts, next), append(of, c)
		}
	}
	v.setTotal()
	spill, err := spillObjects(v.dir, func(add func(object) error) error {
		return inTurn(ctx, inFlight, func(ctx context.Context, o *ordered[object]) error {
			return meetObjects(ctx, func(name string, found []*object) error {
				e := expected{name: name, have: found[0], damaged: found[1] != nil}
				for i, needed := range found[2:] {
					if needed != nil {
						e.wants = append(e.wants, want{*needed, of[i]})
					}
				}
				return v.weigh(o, e)
			}, nexts...)
		}, func(damaged object) error {
			if damaged.name == "" {
				return nil
			}
			return add(damaged)
		})
	})
	if err != nil {
		return err
	}
	defer spill.close()
	if v.sealed != nil && v.report.Damaged == 0 {
		return &RefusedError{
			Happened: "the copies cannot be decrypted", Err: v.sealed, Means: "they are what was sent, but whether they can be read was not proven",
			Do: "pass the private key that belongs to backup.encrypt_to with --identity, or none to prove the ciphertext alone",
		}
	}
	return v.writeDamage(ctx, spill)
}

// needsOf are the sequences of objects that one copy needs.
func (v *offsiteVerifier) needsOf(ctx context.Context, c *remoteCopy) (nexts []func() (object, error), end func(), err error) {
	nexts = append(nexts, ofSlice(c.files(false)))
	if c.suffix != "" && c.ciphertext != nil {
		list, err := openCompressed(ctx, fetched{c.ciphertext}, ciphertextName)
		if err != nil {
			return nil, nil, err
		}
		return append(nexts, list.next), list.close, nil
	}
	if c.suffix != "" {
		return append(nexts, ofSlice(nil)), func() {}, nil // nobody knows what its objects should be
	}
	if c.list == nil {
		return nexts, func() {}, nil
	}
	list, err := openList(ctx, fetched{c.list}, c.manifest)
	if err != nil {
		return nil, nil, err
	}
	return append(nexts, poolObjects(list, "")), func() { closeAll([]*listCursor{list}) }, nil
}

// setTotal estimates how much is to be read.
func (v *offsiteVerifier) setTotal() {
	total := int64(0)
	if v.ReadData {
		for _, c := range v.copies {
			if c.wanted && c.manifest != nil && c.manifest.Filedir != nil {
				total = max(total, c.manifest.Filedir.Size)
			}
		}
	}
	for _, c := range v.copies {
		if v.ReadData && c.wanted && c.manifest != nil {
			for _, component := range c.manifest.Components {
				total += c.manifest.Written(component)
			}
			if c.manifest.Filedir != nil {
				total -= c.manifest.Filedir.NewSize
			}
		}
	}
	v.run.SetTotal(total)
}

// weigh holds one object against what is expected of it.
func (v *offsiteVerifier) weigh(o *ordered[object], e expected) error {
	if len(e.wants) == 0 {
		if e.damaged && e.have != nil {
			return o.now(object{name: e.name}) // nobody has looked at it now
		}
		return nil
	}
	if e.have == nil {
		v.tell(e, "missing", func(want) bool { return true })
		return nil
	}
	if isPoolObject(e.name) {
		v.mu.Lock()
		v.report.Blobs++
		v.mu.Unlock()
	}
	wrong := func(w want) bool { return w.size != e.have.size }
	if slices.ContainsFunc(e.wants, wrong) {
		w := e.wants[slices.IndexFunc(e.wants, wrong)]
		v.tell(e, sizeFault(e.have.size, w.size), wrong)
		return o.now(object{name: e.name})
	}
	if what, known := v.faults[e.name]; known {
		v.tell(e, what, func(want) bool { return true })
		return o.now(object{name: e.name})
	}
	if !v.ReadData && !e.damaged {
		return nil
	}
	return o.later(func(ctx context.Context) (object, error) {
		what, wrong, err := v.prove(ctx, e)
		if err != nil || what == "" {
			return object{}, err
		}
		v.tell(e, what, wrong)
		return object{name: e.name}, nil
	})
}

// writeDamage writes down which objects are to be sent again.
func (v *offsiteVerifier) writeDamage(ctx context.Context, found *objectSpill) error {
	slices.SortFunc(v.objects, func(a, b *object) int { return cmp.Compare(a.name, b.name) })
	var early []object
	for _, o := range slices.CompactFunc(v.objects, func(a, b *object) bool { return a.name == b.name }) {
		early = append(early, *o)
	}
	count := 0
	err := saveObjects(ctx, v.local, offsiteDamagedName, func(add func(object) error) error {
		return meetObjects(ctx, func(_ string, both []*object) error {
			count++
			return add(*firstOf(both))
		}, ofSlice(early), found.read())
	})
	if err == nil && count == 0 {
		err = v.local.Remove(ctx, offsiteDamagedName)
	}
	return err
}
