package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

var errFault = errors.New("injected fault")

// faultyStore breaks one call: the nth of one kind, before or (late) after it has done its work.
type faultyStore struct {
	store.Local
	mu    sync.Mutex
	kind  string
	nth   int
	late  bool
	calls map[string]int
	hit   bool
}

func (f *faultyStore) call(kind string, do func() error) error {
	f.mu.Lock()
	f.calls[kind]++
	breaks := kind == f.kind && f.calls[kind] == f.nth
	f.hit = f.hit || breaks
	f.mu.Unlock()
	if breaks && !f.late {
		return errFault
	}
	err := do()
	if breaks && err == nil {
		err = errFault
	}
	return err
}

func (f *faultyStore) Save(ctx context.Context, name string, size int64, content io.Reader) (n int64, err error) {
	err = f.call("save", func() error {
		if f.late && f.kind == "save" {
			// The connection breaks in the middle.
			content = io.MultiReader(io.LimitReader(content, 10), iotestErr{})
		}
		n, err = f.Local.Save(ctx, name, size, content)
		return err
	})
	return n, err
}

type iotestErr struct{}

func (iotestErr) Read([]byte) (int, error) { return 0, errFault }

func (f *faultyStore) Open(ctx context.Context, name string) (r io.ReadCloser, err error) {
	err = f.call("open", func() error { r, err = f.Local.Open(ctx, name); return err })
	return r, err
}

func (f *faultyStore) Link(name, target string) error {
	return f.call("link", func() error { return f.Local.Link(name, target) })
}

func (f *faultyStore) Rename(name, target string) error {
	return f.call("rename", func() error { return f.Local.Rename(name, target) })
}

func (f *faultyStore) MakeDir(name string) error {
	return f.call("mkdir", func() error { return f.Local.MakeDir(name) })
}

func (f *faultyStore) Make() error { return f.call("make", f.Local.Make) }

func (f *faultyStore) Sync() error { return f.call("sync", f.Local.Sync) }

func (f *faultyStore) Dirs(ctx context.Context) (names []string, err error) {
	err = f.call("dirs", func() error { names, err = f.Local.Dirs(ctx); return err })
	return names, err
}

func (f *faultyStore) Batch(staging string) (b store.Batch, err error) {
	err = f.call("batch", func() error { b, err = f.Local.Batch(staging); return err })
	return &faultyBatch{b, f}, err
}

type faultyBatch struct {
	store.Batch
	store *faultyStore
}

func (b *faultyBatch) Add(name string, fill func(*os.File) error) error {
	return b.store.call("add", func() error { return b.Batch.Add(name, fill) })
}

func (b *faultyBatch) Commit() error { return b.store.call("commit", b.Batch.Commit) }

// TestEveryCallToTheStoreFailsOnce: a backup either fails and leaves nothing, or is whole; the one after
// it always succeeds.
func TestEveryCallToTheStoreFailsOnce(t *testing.T) {
	t.Parallel()
	_, o := newSite(t, stand.SiteOptions{})
	o.Components = []string{Files, Code, Config, Logs, System}
	o.Config.Keep = config.Keep{Within: config.Duration(time.Hour)}
	later := time.Duration(0)
	now := o.Clock
	o.Clock = func() time.Time { return now().Add(later) }
	usual := store.NewDirectory(SiteDir(o.Config.Dir, "lms"))
	counting := &faultyStore{Local: usual, calls: map[string]int{}}
	o.Store = counting
	create(t, o)
	for kind, calls := range counting.calls {
		for _, nth := range slices.Compact([]int{1, (calls + 1) / 2, calls}) {
			for _, late := range []bool{false, true} {
				if late && !slices.Contains([]string{"save", "rename", "commit"}, kind) {
					continue
				}
				later += 2 * time.Hour
				freshBlob(t, o, fmt.Sprint(kind, nth, late))
				faulty := &faultyStore{Local: usual, calls: map[string]int{}, kind: kind, nth: nth, late: late}
				o.Store = faulty
				manifest, err := Create(t.Context(), o, noRun{})
				if err == nil {
					checkWhole(t, o, manifest.ID)
				}
				if err != nil && !errors.Is(err, errFault) {
					t.Errorf("%s %d late=%v: another error: %v", kind, nth, late, err)
				}
				if err == nil && slices.Contains([]string{"save", "add", "commit", "sync", "make", "mkdir"}, kind) && nth == 1 && faulty.hit {
					t.Errorf("%s %d late=%v: nobody noticed", kind, nth, late)
				}
				for _, id := range ids(t, o) {
					checkWhole(t, o, id)
				}
				later += 2 * time.Hour
				o.Store = usual
				create(t, o)
			}
		}
	}
}
