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
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// manyBlobs is a site's backups with so many content files and nothing else.
func manyBlobs(t *testing.T, dir string, count int) VerifyOptions {
	t.Helper()
	s := store.NewDirectory(SiteDir(dir, "lms"))
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
	list, err := compression{}.forLists().save(t.Context(), s, listName, Files, func(to io.Writer) error {
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

// memoryDisk is a directory in memory, for tens of thousands of files; on the disk for who may not mount one.
func memoryDisk(t *testing.T) string {
	t.Helper()
	dir := stand.TempDir(t)
	if os.Getuid() == 0 {
		disk(t, dir, "size=2g")
	}
	return dir
}

// heapRun looks at the heap whenever so many calls were made. What is kept shows in every look, what is in
// work only in some: the lowest of some looks in a row counts, and of those the highest.
type heapRun struct {
	noRun
	every   int64
	row     int // of looks
	calls   atomic.Int64
	mu      sync.Mutex
	looks   []int64
	highest int64
}

func (r *heapRun) Add(int64) {
	if r.calls.Add(1)%r.every != 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.looks = append(r.looks, heapInUse()); len(r.looks) >= r.row {
		r.highest = max(r.highest, slices.Min(r.looks[len(r.looks)-r.row:]))
	}
}

// heapInUse is what is in use, in bytes.
func heapInUse() int64 {
	runtime.GC()
	runtime.GC() // pools let go with the second
	var now runtime.MemStats
	runtime.ReadMemStats(&now)
	return int64(now.HeapAlloc)
}

// proof says whether the long forms of the tests are wanted.
func proof() bool { return os.Getenv("PROOF") == "full" }

// memoryOf is how much of the heap is in use at the highest during work of so many calls, by so many looks.
func memoryOf(t *testing.T, count, looks int, work func(Run)) int64 {
	t.Helper()
	run := &heapRun{every: int64(count / looks), row: looks / 8}
	work(run)
	if run.highest == 0 {
		t.Fatalf("nobody looked at the heap: %d calls", run.calls.Load())
	}
	return run.highest
}

// flatMemory fails the test if memory grows by more than so many bytes with each content file.
func flatMemory(t *testing.T, what string, each int64, few, many int, small, large int64) {
	t.Helper()
	t.Logf("%s: %d files take %d KB of heap, %d take %d KB", what, few, small>>10, many, large>>10)
	if large-small > each*int64(many-few) {
		t.Errorf("%s: %d files take %d bytes of heap, %d take %d", what, few, small, many, large)
	}
}

// TestVerifyMemoryIsFlat: content files take no memory that grows with their number. (200,000 of them: 7 MB.)
func TestVerifyMemoryIsFlat(t *testing.T) {
	few, many := 1_000, 50_000
	if proof() {
		few, many = 20_000, 200_000
	}
	measure := func(count int) int64 {
		o := manyBlobs(t, memoryDisk(t), count)
		return memoryOf(t, count, 64, func(run Run) {
			report, err := Verify(t.Context(), o, run)
			must(t, err)
			if report.Blobs != int64(count) || report.ReadFiles != int64(count)+1 {
				t.Errorf("%+v", report)
			}
		})
	}
	measure(few) // after it, all that is made once is there, and what earlier tests had is gone
	// Of a short list the window of its compression holds all, about 20 bytes a file; a sum and its size take 32 more.
	flatMemory(t, "verify", 40, few, many, measure(few), measure(many))
}

// TestManyListsTakeLittleMemory: a year of weekly backups and more, each with a list of its own, read at once.
// (90 lists of 1,000,000 files: 37 s on two busy cores, 65 MB resident.)
func TestManyListsTakeLittleMemory(t *testing.T) {
	const backups, count = 90, 10_000
	s := store.NewDirectory(SiteDir(t.TempDir(), "lms"))
	must(t, s.Make())
	blobs := make([]blob, count+backups)
	for i := range blobs {
		blobs[i] = blob{sha1.Sum(fmt.Appendf(nil, "tiny %d", i)), int64(i)}
	}
	for n := range backups {
		listed := slices.Clone(blobs[n : n+count])
		slices.SortFunc(listed, compareBlobs)
		must(t, s.MakeDir(stagingName))
		file, err := compression{}.forLists().save(t.Context(), s, listName, Files, func(to io.Writer) error {
			w := newListWriter(to)
			for _, b := range listed {
				must(t, w.add(b))
			}
			return w.flush()
		})
		must(t, err)
		id := time.Unix(int64(1_700_000_000+n*86400), 0).UTC().Format(job.IDLayout)
		must(t, writeManifest(t.Context(), s, stagingName, &Manifest{Format: Format, ID: id, Site: "lms", Components: []string{Files}, Files: []File{file}}))
		must(t, s.Rename(stagingName, id))
	}
	p := &pruner{store: s, now: time.Now(), at: func(string) {}}
	lists, err := p.openLists(t.Context())
	must(t, err)
	defer closeAll(lists)
	for _, middle := range []int{count / 4, count / 2} {
		named := slices.SortedFunc(slices.Values(blobs), compareBlobs)[middle]
		if found, err := namedBy(lists, named.sum); err != nil || !found {
			t.Errorf("%v, %v", found, err)
		}
	}
	var now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&now)
	if len(lists) != backups || now.HeapAlloc > 48<<20 {
		t.Errorf("%d lists take %d bytes", len(lists), now.HeapAlloc)
	}
	t.Logf("%d lists: %d KB", len(lists), now.HeapAlloc>>10)
	must(t, finish(lists))
}

// TestVerifyLeavesTheCache: what was read does not stay in memory in the place of the site's files.
func TestVerifyLeavesTheCache(t *testing.T) {
	o := manyBlobs(t, t.TempDir(), 3)
	dir := SiteDir(o.Dir, "lms")
	var files []string
	must(t, filepath.WalkDir(filepath.Join(dir, poolName), func(path string, entry os.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, path)
		}
		return err
	}))
	lists, err := filepath.Glob(filepath.Join(dir, "*", listName))
	must(t, err)
	files = append(files, lists...)
	var s syscall.Statfs_t
	must(t, syscall.Statfs(dir, &s))
	syscall.Sync() // what is not on disk yet must stay
	for _, path := range files {
		if read(t, path); !cached(t, path) {
			t.Fatalf("%s is read and not in the cache", path)
		}
	}
	_, err = Verify(t.Context(), o, noRun{})
	must(t, err)
	for _, path := range files {
		if cached(t, path) && s.Type != unix.TMPFS_MAGIC { // which is its own cache
			t.Errorf("%s is in the cache", path)
		}
	}
}

// cached says whether the first page of a file is in memory.
func cached(t *testing.T, path string) bool {
	t.Helper()
	file, err := os.Open(path)
	must(t, err)
	defer file.Close()
	page, err := unix.Mmap(int(file.Fd()), 0, 1, unix.PROT_READ, unix.MAP_SHARED)
	must(t, err)
	defer func() { must(t, unix.Munmap(page)) }()
	var resident [1]byte
	if _, _, failed := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&page[0])), 1, uintptr(unsafe.Pointer(&resident))); failed != 0 {
		t.Fatal(failed)
	}
	return resident[0]&1 != 0
}
