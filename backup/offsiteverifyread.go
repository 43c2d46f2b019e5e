package backup

import (
	"cmp"
	"context"
	"crypto/sha1" //nolint:gosec // Moodle names content by it
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"filippo.io/age"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
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

// tell notes an object that is not as some copies expect it.
func (v *offsiteVerifier) tell(e expected, what string, wrong func(want) bool) {
	f := Finding{File: e.name, What: what}
	for _, w := range e.wants {
		if !wrong(w) {
			continue
		}
		f.Hurts = append(f.Hurts, w.of.id)
		v.mu.Lock()
		if isPoolObject(e.name) {
			v.hurt[w.of.id]++
		} else {
			w.of.bad[path.Base(e.name)] = what
		}
		v.mu.Unlock()
	}
	v.note(f)
}

const otherDigest = "flipped: its SHA-256 is not the one it was sent with"

// prove reads one object to its end. Only what is wrong with the bucket is an error.
func (v *offsiteVerifier) prove(ctx context.Context, e expected) (what string, wrong func(want) bool, err error) {
	all := func(want) bool { return true }
	file, err := v.From.objects.Open(ctx, e.name)
	if errors.Is(err, store.ErrNotFound) {
		return "missing", all, nil
	}
	if err != nil {
		return "", nil, err
	}
	defer file.Close()
	raw := newMeter()
	from := io.TeeReader(&watchedReader{ctx: ctx, from: file, add: v.run.Add}, raw)
	content := newMeter()
	name := sha1.New() //nolint:gosec // as above
	var opened error
	if isSealed(e.name) && v.From.readable() {
		opened = decrypt(io.MultiWriter(content, name), from, v.From.identities)
	} else {
		_, opened = io.Copy(io.MultiWriter(content, name), from)
	}
	if _, err := io.Copy(io.Discard, from); err != nil {
		return "", nil, fmt.Errorf("read %s: %w", e.name, err)
	}
	v.countRead(raw.size)
	digest := raw.sum()
	wrong = func(w want) bool { return w.sha256 != "" && w.sha256 != digest }
	if slices.ContainsFunc(e.wants, wrong) {
		return otherDigest, wrong, nil
	}
	if isSealed(e.name) && !v.From.readable() {
		return "", nil, nil
	}
	return v.judge(e, opened, content.sum(), hex.EncodeToString(name.Sum(nil)))
}

// judge holds the content of an object, whose own digest is right, against what it should be.
func (v *offsiteVerifier) judge(e expected, opened error, digest, name string) (what string, wrong func(want) bool, err error) {
	var none *age.NoIdentityMatchError
	if errors.As(opened, &none) {
		v.mu.Lock()
		v.sealed = cmp.Or(v.sealed, opened)
		v.mu.Unlock()
		return "", nil, nil
	}
	own := strings.TrimSuffix(path.Base(e.name), sealedSuffix)
	wrong = func(w want) bool {
		if isPoolObject(e.name) {
			return name != own
		}
		f, named := w.of.manifest.File(own)
		return named && f.SHA256 != digest
	}
	switch {
	case opened != nil:
		return "unreadable: " + opened.Error(), func(want) bool { return true }, nil
	case slices.ContainsFunc(e.wants, wrong) && isPoolObject(e.name):
		return "flipped: its SHA-1 is not its name", wrong, nil
	case slices.ContainsFunc(e.wants, wrong):
		return "flipped: its content is not the one it was made of", wrong, nil
	}
	return "", nil, nil
}

func decrypt(to io.Writer, from io.Reader, identities []age.Identity) error {
	content, err := age.Decrypt(from, identities...)
	if err == nil {
		_, err = io.Copy(to, content)
	}
	return err
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
