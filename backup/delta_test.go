package backup

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// deltaOf is a backup of content files that has come as far as the dump.
func deltaOf(t *testing.T, s store.Local, dataroot string) *creation {
	t.Helper()
	must(t, os.MkdirAll(filepath.Join(dataroot, "filedir"), 0o700))
	c := &creation{Options: Options{Site: &moodle.Site{Config: moodle.PHPConfig{DataRoot: dataroot}}, Store: s}, run: noRun{}}
	must(t, s.MakeDir(stagingName))
	var err error
	c.pool, err = newPool(s, filedir(c.Site), c.run, slog.New(slog.DiscardHandler))
	must(t, err)
	t.Cleanup(c.close)
	return c
}

// seen reads what the delta copy has noted.
func seen(t *testing.T, c *creation) (lacking map[blob]bool) {
	t.Helper()
	from, err := c.site.reader()
	must(t, err)
	lacking = map[blob]bool{}
	for {
		more, err := from.next()
		must(t, err)
		if !more {
			return lacking
		}
		lacking[from.head.blob] = from.head.alias
	}
}

// TestDeltaBesideTheDump: with each attempt at the dump it begins anew, and is whole when its step ends.
func TestDeltaBesideTheDump(t *testing.T) {
	dataroot := t.TempDir()
	filedir := filepath.Join(dataroot, "filedir")
	c := deltaOf(t, store.NewDirectory(t.TempDir()), dataroot)
	first := putBlob(t, filedir, "there when the first attempt began")
	c.beginDelta(t.Context())
	second := putBlob(t, filedir, "there when the second attempt began")
	c.beginDelta(t.Context())
	must(t, c.copyDelta(t.Context()))
	if noted := seen(t, c); len(noted) != 2 {
		t.Errorf("noted: %v", noted)
	}
	for _, b := range []blob{first, second} {
		if _, err := os.Stat(filepath.Join(c.Store.Path(poolName), b.sum.path())); err != nil {
			t.Error(err)
		}
	}
	// Without a dump it is the step itself that copies.
	third := putBlob(t, filedir, "came later")
	must(t, c.copyDelta(t.Context()))
	if noted := seen(t, c); len(noted) != 3 || !noted[third] || noted[first] {
		t.Errorf("noted: %v", noted)
	}
	// A dump that fails leaves nobody at work.
	c.beginDelta(t.Context())
	c.endDelta()
	c.endDelta()
	if c.delta != nil {
		t.Error("the delta copy goes on")
	}
}

// TestDeltaThatFailsBesideTheDump is told by its step.
func TestDeltaThatFailsBesideTheDump(t *testing.T) {
	dataroot := t.TempDir()
	faulty := &faultyStore{Local: store.NewDirectory(t.TempDir()), calls: map[string]int{}, kind: "add", nth: 1}
	c := deltaOf(t, faulty, dataroot)
	putBlob(t, filepath.Join(dataroot, "filedir"), "cannot be stored")
	c.beginDelta(t.Context())
	if err := c.copyDelta(t.Context()); !errors.Is(err, errFault) {
		t.Errorf("the copy has failed and its step says %v", err)
	}
}
