package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

// Shares is how many verifications without --read-data it takes until all that is stored has been read
// back: a month of weekly ones. A file belongs to a share by the first bits of its digest.
const Shares = 4

const allShares = 1<<Shares - 1

// verification is what stays of the verifications of a site's backups, in verify.json beside them.
type verification struct {
	Format      int        `json:"format"`
	Ended       time.Time  `json:"ended"` // of the last one
	Intact      bool       `json:"intact"`
	LastSuccess *time.Time `json:"last_success,omitempty"`
	Share       int        `json:"share"` // to be read next
	// Read are the shares, one bit each, in which a backup was read back and found right.
	Read map[string]uint8 `json:"read,omitempty"`
	// Bad are the damaged files of each backup, with what is wrong with them.
	Bad map[string]map[string]string `json:"bad,omitempty"`
	// Hurt is how many content files of a backup are damaged or missing; damaged.list names them.
	Hurt map[string]int64 `json:"hurt,omitempty"`
}

func loadVerification(ctx context.Context, s store.Store) (verification, error) {
	var v verification
	if err := loadJSON(ctx, s, verifyName, &v); err != nil {
		return verification{}, fmt.Errorf("read %s: %w", verifyName, err)
	}
	if v.Format != Format && !v.Ended.IsZero() {
		return verification{}, fmt.Errorf("read %s: format %d is not known to this version", verifyName, v.Format)
	}
	return v, nil
}

// whole says whether every byte of a backup was read back and found right.
func (v *verification) whole(id string) bool {
	return v.Read[id] == allShares && len(v.Bad[id]) == 0 && v.Hurt[id] == 0
}

// problem is what verifications have found in the files of one backup.
func (v *verification) problem(id string) error {
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(v.Bad[id])) {
		problems = append(problems, fmt.Errorf("%s %s", name, v.Bad[id][name]))
	}
	return errors.Join(problems...)
}

// addVerify tells how the last verification went, and what of the damage it found is still there.
func (i *Inventory) addVerify(ctx context.Context, s store.Local) error {
	v, err := loadVerification(ctx, s)
	if err != nil || v.Ended.IsZero() {
		return nil //nolint:nilerr // as if there had been none; the next one names the broken record and writes it anew
	}
	i.Verify = &VerifyInventory{Intact: v.Intact}
	if v.LastSuccess != nil {
		i.Verify.LastSuccess = float64(v.LastSuccess.UnixMilli()) / 1000
	}
	damaged, err := lacking(ctx, s)
	if err != nil {
		return fmt.Errorf("count what is damaged: %w", err)
	}
	for id, files := range v.Bad {
		if _, err := os.Lstat(s.Path(id)); err == nil {
			damaged += int64(len(files))
		}
	}
	i.Damaged = &damaged
	return nil
}

// lacking counts the content files of damaged.list that the pool still lacks.
func lacking(ctx context.Context, s store.Local) (count int64, err error) {
	file, err := s.Open(ctx, damagedName)
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer file.Close()
	own, err := openPool(s)
	if err != nil {
		return 0, err
	}
	defer own.close()
	leaf, there := "", []blob(nil)
	for from := newListReader(file); ; {
		b, err := from.next()
		if errors.Is(err, io.EOF) {
			return count, nil
		}
		if err != nil {
			return 0, fmt.Errorf("read %s: %w", damagedName, err)
		}
		if at := b.sum.path()[:5]; at != leaf {
			leaf = at
			if there, err = own.leaf(leaf, func(error) {}); err != nil {
				there = nil // not there, for whatever reason
			}
		}
		if _, found := slices.BinarySearchFunc(there, b, compareBlobs); !found {
			count++
		}
	}
}

// openPool opens the pool for reading; one that is not there yet is empty.
func openPool(s store.Local) (*tree, error) {
	own, err := openTree(s.Path(poolName))
	if errors.Is(err, os.ErrNotExist) {
		return &tree{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open the pool: %w", err)
	}
	return own, nil
}

// newDecoder reads what this program has compressed, with little memory.
func newDecoder(from io.Reader) (*zstd.Decoder, error) {
	return zstd.NewReader(from, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20), zstd.WithDecoderLowmem(true))
}
