package backup

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"
)

// readPool compares names and sizes of the whole pool with all lists, and reads the content files whose
// turn it is. If anything is damaged it then writes down what the pool lacks.
func (v *verifier) readPool(ctx context.Context) error {
	own, err := openPool(v.store)
	if err != nil {
		return err
	}
	defer own.close()
	own.ours = true
	if v.ID == "" {
		own.strange = func(name string) { v.note(Finding{File: path.Join(poolName, name), What: "foreign"}) }
	}
	list, err := v.openNeeds(ctx)
	if err != nil {
		return err
	}
	defer list.close()
	reader := &contentReader{verifier: v, own: own}
	reader.pool.buffers.New = func() any { return make([]byte, copyBuffer) }
	workers, inner := errgroup.WithContext(ctx)
	workers.SetLimit(max(2, min(8, 2*runtime.GOMAXPROCS(0))))
	lacks := false
	var held usage
	walked := list.meet(inner, own, v.broken, func(have *blob, wanted []need) error {
		if have == nil {
			lacks = true
			return v.missing(wanted[0])
		}
		held.Blobs++
		held.Bytes += have.size
		if v.isDueBlob(*have, wanted) {
			b, wanted := *have, slices.Clone(wanted)
			workers.Go(func() error { return reader.prove(inner, b, wanted) })
		}
		return nil
	})
	if err := cmp.Or(workers.Wait(), walked); err != nil {
		return err
	}
	v.report.Blobs = held.Blobs
	v.At("pool read")
	if v.moved.Blobs > 0 {
		held.Blobs, held.Bytes = held.Blobs-v.moved.Blobs, held.Bytes-v.moved.Bytes
		if err := saveJSON(ctx, v.store, usageName, held); err != nil {
			return err
		}
	}
	list.close()
	if !lacks && v.moved.Blobs == 0 {
		return v.store.Remove(ctx, damagedName)
	}
	return v.listDamage(ctx)
}

func (v *verifier) isDueBlob(b blob, wanted []need) bool {
	concerned := v.ID == ""
	fits := true
	for _, n := range wanted {
		concerned = concerned || v.isFor(n)
		fits = fits && n.size == b.size
	}
	return !fits || concerned && (v.ReadData || v.inShare(b.sum[0]))
}

// isFor says whether this verification is about a backup that needs the file.
func (v *verifier) isFor(n need) bool {
	return slices.ContainsFunc(n.of, func(s *subject) bool { return s.wanted })
}

// broken notes a part of the pool that cannot be read. What lists name there counts as missing besides.
func (v *verifier) broken(err error) {
	if v.ID == "" && !errors.Is(err, errNotRegular) {
		v.note(Finding{File: poolName, What: "unreadable: " + err.Error()})
	}
}

// missing notes a content file that the pool does not hold as such. What stands in its way is moved.
func (v *verifier) missing(n need) error {
	name := path.Join(poolName, n.sum.path())
	f := Finding{File: name, What: "missing", Hurts: idsOf(n.of)}
	if _, err := os.Lstat(v.store.Path(name)); err == nil {
		f.What = "unreadable: it is no regular file"
		if f.Moved, err = v.quarantine(name); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		f.What = "unreadable: " + err.Error()
	}
	if v.isFor(n) {
		v.note(f)
	}
	return nil
}

func idsOf(subjects []*subject) []string {
	ids := make([]string, len(subjects))
	for i, s := range subjects {
		ids[i] = s.id
	}
	return ids
}

// contentReader reads content files, several at a time.
type contentReader struct {
	*verifier
	own  *tree
	pool pool // for its buffers
}

// prove reads one content file. It is moved only when a second look finds the same.
func (r *contentReader) prove(ctx context.Context, b blob, wanted []need) error {
	var err error
	for range 2 {
		if err := ctx.Err(); err != nil {
			return err
		}
		if _, err = r.pool.transfer(r.own, io.Discard, b.sum); err == nil {
			break
		}
	}
	r.run.Add(b.size)
	r.countRead(b.size)
	if err == nil {
		// Its content is what its name says; a list that gives it another size is wrong.
		for _, n := range wanted {
			if what := sizeFault(n.size, b.size); what != "" {
				for _, s := range n.of {
					r.spoil(s, listName, "flipped: it gives "+b.sum.String()+" a wrong size")
				}
			}
		}
		return nil
	}
	f := Finding{File: path.Join(poolName, b.sum.path()), What: "unreadable: " + err.Error()}
	for _, n := range wanted {
		f.Hurts = append(f.Hurts, idsOf(n.of)...)
	}
	if errors.Is(err, errCorrupt) {
		f.What = "flipped: its SHA-1 is not its name"
		if len(wanted) > 0 {
			f.What = cmp.Or(sizeFault(b.size, wanted[0].size), f.What)
		}
	}
	if f.Moved, err = r.quarantine(f.File); err != nil {
		return err
	}
	r.mu.Lock()
	r.moved.Blobs++
	r.moved.Bytes += b.size
	r.mu.Unlock()
	r.note(f)
	return nil
}
