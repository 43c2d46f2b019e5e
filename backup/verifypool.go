package backup

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"
)

// need is a content file as lists name it.
type need struct {
	blob
	of []*subject // shared: not to be changed
}

// contentList is the list of one or, if they share it, several backups.
type contentList struct {
	manifest *Manifest
	of       []*subject
	cursor   *listCursor
}

func (v *verifier) addSource(f *storedFile) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sources = append(v.sources, &contentList{manifest: f.of[0].manifest, of: f.of})
}

// needs merges the lists.
type needs struct {
	sources []*contentList
	sets    map[string][]*subject // by which of the sources name a file
	key     []byte
}

func (v *verifier) openNeeds(ctx context.Context) (*needs, error) {
	n := &needs{sources: v.sources, sets: map[string][]*subject{}, key: make([]byte, len(v.sources))}
	for _, s := range v.sources {
		var err error
		if s.cursor, err = openList(ctx, v.store, s.manifest); err != nil {
			n.close()
			return nil, err
		}
	}
	return n, nil
}

func (n *needs) close() {
	for _, s := range n.sources {
		if s.cursor != nil {
			closeAll([]*listCursor{s.cursor})
			s.cursor = nil
		}
	}
}

func compareBlobs(a, b blob) int {
	return cmp.Or(compareSums(a.sum, b.sum), cmp.Compare(a.size, b.size))
}

// head is the first content file that has not been taken, or false.
func (n *needs) head() (first blob, found bool) {
	for _, s := range n.sources {
		if c := s.cursor; !c.ended && (!found || compareBlobs(c.head, first) < 0) {
			first, found = c.head, true
		}
	}
	return first, found
}

// take goes on behind b and says who needs it.
func (n *needs) take(b blob) (need, error) {
	for i, s := range n.sources {
		n.key[i] = 0
		if !s.cursor.ended && s.cursor.head == b {
			n.key[i] = 1
			if err := s.cursor.advance(); err != nil {
				return need{}, err
			}
		}
	}
	of, known := n.sets[string(n.key)]
	if !known {
		for i, s := range n.sources {
			if n.key[i] == 1 {
				of = append(of, s.of...)
			}
		}
		slices.SortFunc(of, func(a, b *subject) int { return cmp.Compare(a.id, b.id) })
		n.sets[string(n.key)] = of
	}
	return need{b, of}, nil
}

// meet goes over pool and lists at once, in order, with one directory of the pool and one line of each list
// in memory: have is nil for a file that is missing, wanted is empty for one that nobody needs.
func (n *needs) meet(ctx context.Context, own *tree, broken func(error), each func(have *blob, wanted []need) error) error {
	var wanted []need
	// until hands out as missing all that lists name before the limit, which is a part of a sum.
	until := func(limit []byte) error {
		for {
			b, found := n.head()
			if !found || limit != nil && bytes.Compare(b.sum[:len(limit)], limit) >= 0 {
				return nil
			}
			w, err := n.take(b)
			if err != nil {
				return err
			}
			if err := each(nil, append(wanted[:0], w)); err != nil {
				return err
			}
		}
	}
	visit := func(leaf string) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		limit, _ := hex.DecodeString(leaf[:2] + leaf[3:])
		if err := until(limit); err != nil {
			return err
		}
		blobs, err := own.leaf(leaf, broken)
		if err != nil {
			broken(err)
		}
		for i := range blobs {
			if err := until(blobs[i].sum[:]); err != nil {
				return err
			}
			wanted = wanted[:0]
			for b, found := n.head(); found && b.sum == blobs[i].sum; b, found = n.head() {
				w, err := n.take(b)
				if err != nil {
					return err
				}
				wanted = append(wanted, w)
			}
			if err := each(&blobs[i], wanted); err != nil {
				return err
			}
		}
		return nil
	}
	if own.root != nil {
		if err := own.leaves(visit, broken); err != nil {
			return err
		}
	}
	return until(nil)
}

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
