package job

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestStateDiskFull: a backup is worth more than its record; any other job is not begun without one. The
// record of the run before stays whole, and the next run with room is recorded as ever.
func TestStateDiskFull(t *testing.T) {
	if os.Getuid() != 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("a full disk can only be made by root")
		}
		t.Skip("not root: what becomes of a run on a full disk is not tried")
	}
	runner := testRunner(t.TempDir())
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Mkdir(runner.StateDir, 0o750))
	must(syscall.Mount("tmpfs", runner.StateDir, "tmpfs", 0, "size=128k,mode=0750"))
	t.Cleanup(func() { _ = syscall.Unmount(runner.StateDir, 0) })
	var told bytes.Buffer
	runner.Logger = slog.New(slog.NewTextHandler(&told, nil))
	ran := 0
	work := func(ctx context.Context, run *Run) error {
		ran++
		return run.Step(ctx, "dump", func(context.Context) error { return nil })
	}
	backup := Spec{Job: "backup", Site: "lms", WorthMore: true}
	must(runner.Do(t.Context(), backup, work))
	before := only(t, runner)

	ballast := filepath.Join(runner.StateDir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	told.Reset()
	watched := 0
	runner.Watch = func(Record) { watched++ }
	err := runner.Do(t.Context(), backup, work)
	if ran != 2 || !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "Make room for "+runner.StateDir) {
		t.Errorf("ran %d times: %v", ran, err)
	}
	if strings.Count(told.String(), "level=ERROR") != 1 || strings.Contains(told.String(), "lag behind") || watched == 0 {
		t.Errorf("watched %d times, told:\n%s", watched, told.String())
	}
	if err := runner.Do(t.Context(), Spec{Job: "restore", Site: "lms"}, work); ran != 2 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a restore ran without a record (%d): %v", ran, err)
	}
	if after := only(t, runner); after.ID != before.ID || after.State != OK || after.Runs != 1 {
		t.Errorf("the last record is now %+v", after)
	}
	must(os.Remove(ballast))
	must(runner.Do(t.Context(), backup, work))
	if after := only(t, runner); after.State != OK || after.Runs != 2 || ran != 3 {
		t.Errorf("with room: %+v", after)
	}
}
