package backup

import (
	"crypto/sha1"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

// manyBlobs is a site's backups with so many content files and nothing else.
func manyBlobs(t *testing.T, count int) VerifyOptions {
	t.Helper()
	s := store.NewDirectory(SiteDir(t.TempDir(), "lms"))
	must(t, s.Make())
	blobs := make([]blob, count)
	var workers sync.WaitGroup
	for part := range 4 {
		workers.Go(func() {
			for i := part; i < count; i += 4 {
				content := fmt.Appendf(nil, "tiny %d", i)
				blobs[i] = blob{sha1.Sum(content), int64(len(content))}
				name := s.Path(path.Join(poolName, blobs[i].sum.path()))
				if err := os.WriteFile(name, content, 0o600); err != nil {
					_ = os.MkdirAll(filepath.Dir(name), 0o700)
					_ = os.WriteFile(name, content, 0o600) // verify will tell
				}
			}
		})
	}
	workers.Wait()
	slices.SortFunc(blobs, compareBlobs)
	must(t, s.MakeDir(stagingName))
	list, err := compression{}.save(t.Context(), s, listName, Files, func(to io.Writer) error {
		w := newListWriter(to)
		for _, b := range blobs {
			if err := w.add(b); err != nil {
				return err
			}
		}
		return w.flush()
	})
	must(t, err)
	id := time.Now().UTC().Format(job.IDLayout)
	must(t, writeManifest(t.Context(), s, stagingName, &Manifest{Format: Format, ID: id, Site: "lms", Files: []File{list}}))
	must(t, s.Rename(stagingName, id))
	return VerifyOptions{Dir: filepath.Dir(s.Path("")), Site: "lms", ReadData: true}
}

// heapRun looks at the heap from time to time.
type heapRun struct {
	noRun
	calls   atomic.Int64
	highest atomic.Uint64
}

func (r *heapRun) Add(int64) {
	if r.calls.Add(1)%10_000 != 0 {
		return
	}
	runtime.GC()
	var now runtime.MemStats
	runtime.ReadMemStats(&now)
	for {
		if before := r.highest.Load(); now.HeapAlloc <= before || r.highest.CompareAndSwap(before, now.HeapAlloc) {
			return
		}
	}
}

// TestVerifyMemoryIsFlat: content files take no memory that grows with their number. (200,000 of them: 7 MB.)
func TestVerifyMemoryIsFlat(t *testing.T) {
	const count = 50_000
	o := manyBlobs(t, count)
	run := &heapRun{}
	report, err := Verify(t.Context(), o, run)
	must(t, err)
	if report.Blobs != count || report.ReadFiles != count+1 {
		t.Errorf("%+v", report)
	}
	if heap := run.highest.Load(); heap == 0 || heap > 12<<20 {
		t.Errorf("the heap grew to %d bytes", heap)
	}
}
