package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
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
// content files. (50,000 of them: 4 and 6 MB.) What encryption adds is measured in the long form.
func TestCopyMemoryIsFlat(t *testing.T) {
	few, many, kinds := 10_000, 50_000, []bool{false}
	if proof() {
		kinds = []bool{false, true}
	}
	local := map[int]VerifyOptions{few: manyBlobs(t, memoryDisk(t), few), many: manyBlobs(t, memoryDisk(t), many)}
	for _, sealed := range kinds {
		small, large := copyMemory(t, local[few], few, sealed), copyMemory(t, local[many], many, sealed)
		for what := range small {
			// Buffers come and go; the names of objects in a map take more than 300 bytes each.
			flatMemory(t, fmt.Sprintf("%s, encrypted %v", what, sealed), 200, few, many, small[what], large[what])
		}
	}
}

// copyMemory is what a copy, the next one and their verification take.
func copyMemory(t *testing.T, o VerifyOptions, count int, sealed bool) map[string]int64 {
	t.Helper()
	to := placeIn(t, quickBucket{bucketDir{store.NewDirectory(memoryDisk(t))}}, sealed)
	to.Place = fmt.Sprint("sealed ", sealed)
	memory := map[string]int64{}
	memory["copy"] = memoryOf(t, count, 32, func(run Run) {
		copied, err := Copy(t.Context(), CopyOptions{Dir: o.Dir, Site: o.Site, To: to}, run)
		must(t, err)
		if copied.Objects < int64(count) || copied.Whole != 1 {
			t.Errorf("%+v", copied)
		}
	})
	copied, err := Copy(t.Context(), CopyOptions{Dir: o.Dir, Site: o.Site, To: to}, noRun{})
	must(t, err)
	if copied.Objects > 0 || copied.Whole != 1 {
		t.Errorf("%+v", copied)
	}
	memory["verify"] = memoryOf(t, count, 32, func(run Run) {
		report, err := VerifyOffsite(t.Context(), OffsiteVerifyOptions{Dir: o.Dir, Site: o.Site, From: to, ReadData: true}, run)
		must(t, err)
		if report.Blobs != int64(count) {
			t.Errorf("%+v", report)
		}
	})
	return memory
}
