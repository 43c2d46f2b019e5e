package backup

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// noise is bytes that cannot be compressed.
func noise(size int) []byte {
	content := make([]byte, size)
	seed := uint32(1)
	for i := range content {
		seed = seed*1664525 + 1013904223
		content[i] = byte(seed >> 24)
	}
	return content
}

// TestDiskFullForeseen: refused before anything is begun.
func TestDiskFullForeseen(t *testing.T) {
	t.Parallel()
	needRoot(t, "a full disk")
	_, o := newSite(t, stand.SiteOptions{})
	o.Config.Dir = stand.TempDir(t)
	disk(t, o.Config.Dir, "size=4m")
	big := filepath.Join(t.TempDir(), "big.log")
	must(t, os.WriteFile(big, noise(8<<20), 0o600))
	o.Config.LogPaths = []string{big}
	o.Components = []string{Logs}
	var refused *RefusedError
	if err := fails(t, o, noRun{}); !errors.As(err, &refused) || !strings.Contains(err.Error(), "too few bytes") {
		t.Error(err)
	}
}

// TestDiskFullInEachPhase: somebody else fills the disk after the preflight. It fails in plain words, leaves
// nothing behind and the earlier backup whole, and the next run succeeds.
func TestDiskFullInEachPhase(t *testing.T) {
	t.Parallel()
	needRoot(t, "a full disk")
	site, o := newSite(t, stand.SiteOptions{})
	o.Config.Dir = stand.TempDir(t)
	disk(t, o.Config.Dir, "size=16m")
	first := create(t, o)
	ballast := filepath.Join(o.Config.Dir, "ballast")
	for _, test := range []struct{ after, says string }{
		{"preflight", "copy content files"}, {"pool", "dump database"}, {"dump", ""}, {"delta", "archive the files"}, {"archive files", "archive the code"},
		{"archive system", "audit the content files"}, {"audit", ""}, {"sync", "write manifest"},
	} {
		freshBlob(t, o, string(noise(200_000))+test.after)
		for _, dir := range []string{site.CodeDir, filepath.Join(site.Dataroot, "repository")} {
			must(t, os.MkdirAll(dir, 0o770))
			must(t, os.WriteFile(filepath.Join(dir, "new"), append(noise(100_000), test.after...), 0o600))
		}
		inDatabase(t, site, "REPLACE INTO "+site.Prefix+"config (name, value) VALUES ('x', '"+test.after+"')")
		o.At = func(step string) {
			if step == test.after {
				file, err := os.Create(ballast)
				must(t, err)
				if _, err := io.Copy(file, endless{}); !errors.Is(err, syscall.ENOSPC) {
					t.Errorf("the disk is not full: %v", err)
				}
				must(t, file.Close())
			}
		}
		err := fails(t, o, noRun{})
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "Make room") || strings.Contains(err.Error(), "refus") {
			t.Errorf("full after %s: %v", test.after, err)
		}
		must(t, os.Remove(ballast))
		checkWhole(t, o, first.ID)
		o.At = nil
		checkWhole(t, o, create(t, o).ID)
	}
}

// endless are zeros.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
