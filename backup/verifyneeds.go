package backup

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"slices"
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
