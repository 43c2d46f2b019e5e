package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

// quickBucket does not wait for the disk: tens of thousands of objects are sent to it.
type quickBucket struct{ bucketDir }

func (b quickBucket) SaveSummed(_ context.Context, name string, _ int64, content io.Reader) (store.Stored, error) {
	path := b.Path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return store.Stored{}, err
	}
	file, err := os.Create(path)
	if err != nil {
		return store.Stored{}, err
	}
	defer file.Close()
	digest := sha256.New()
	size, err := io.Copy(io.MultiWriter(file, digest), content)
	return store.Stored{Size: size, SHA256: hex.EncodeToString(digest.Sum(nil))}, err
}

func (b quickBucket) SaveNew(ctx context.Context, name string, size int64, content io.Reader) (store.Stored, error) {
	return b.SaveSummed(ctx, name, size, content)
}

// TestCopyMemoryIsFlat: neither a copy nor its verification takes memory that grows with the number of
// content files. (50,000 of them: 4 and 6 MB.)
func TestCopyMemoryIsFlat(t *testing.T) {
	const count = 10_000
	o := manyBlobs(t, count)
	eachKind(t, func(t *testing.T, sealed bool) {
		to := placeIn(t, quickBucket{bucketDir{store.NewDirectory(t.TempDir())}}, sealed)
		to.Place = t.Name()
		for _, again := range []bool{false, true} {
			run := &heapRun{}
			copied, err := Copy(t.Context(), CopyOptions{Dir: o.Dir, Site: o.Site, To: to}, run)
			must(t, err)
			if sent := copied.Objects > 0; sent == again || copied.Whole != 1 {
				t.Errorf("%+v", copied)
			}
			checkHeap(t, "copy", run)
		}
		run := &heapRun{}
		report, err := VerifyOffsite(t.Context(), OffsiteVerifyOptions{Dir: o.Dir, Site: o.Site, From: to, ReadData: true}, run)
		must(t, err)
		if report.Blobs != count {
			t.Errorf("%+v", report)
		}
		checkHeap(t, "verify", run)
	})
}

func checkHeap(t *testing.T, what string, run *heapRun) {
	t.Helper()
	if highest := run.highest.Load(); highest > 24<<20 {
		t.Errorf("%s: the heap grew to %d bytes", what, highest)
	} else if highest > 0 {
		t.Logf("%s: at most %d MB of heap", what, highest>>20)
	}
}
