package job

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func testRunner(dir string) *Runner {
	return &Runner{
		StateDir: filepath.Join(dir, "state"), LockDir: filepath.Join(dir, "run"), ProcRoot: "/proc", Group: -1,
		Clock: time.Now, Logger: slog.New(slog.DiscardHandler),
	}
}

func only(t *testing.T, runner *Runner) Record {
	t.Helper()
	records, err := Read(runner.StateDir)
	if err != nil || len(records) != 1 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	return records[0]
}

func TestOutcomes(t *testing.T) {
	runner := testRunner(t.TempDir())
	broken := errors.New("broken")
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	var firstSuccess time.Time
	results := []State{OK, Failed, Interrupted}
	for i, c := range []struct {
		ctx      context.Context
		outcome  error
		want     State
		failures int64
	}{
		{context.Background(), nil, OK, 0},
		{context.Background(), broken, Failed, 1},
		{cancelled, context.Canceled, Interrupted, 2},
		{context.Background(), ErrPartial, Partial, 2},
	} {
		err := runner.Do(c.ctx, Spec{Job: "backup", Site: "lms"}, func(ctx context.Context, run *Run) error {
			running := only(t, runner)
			if last, ended := running.Result(); ended != (i > 0) || ended && last != results[i-1] {
				t.Errorf("%d: while it runs, the last result is %q", i, last)
			}
			run.Add(5)
			return run.Step(ctx, "dump", func(context.Context) error { return c.outcome })
		})
		if !errors.Is(err, c.outcome) {
			t.Errorf("%d: error %v, want %v", i, err, c.outcome)
		}
		record := only(t, runner)
		if record.State != c.want || record.Failures != c.failures || record.Runs != int64(i+1) || record.DoneBytes != 5 {
			t.Errorf("%d: %+v", i, record)
		}
		if record.LastSuccess == nil {
			t.Fatalf("%d: the last success is lost", i)
		}
		switch {
		case i == 0:
			firstSuccess = *record.LastSuccess
		case c.want.Good() == record.LastSuccess.Equal(firstSuccess):
			t.Errorf("%d: last success %v after %v", i, record.LastSuccess, c.want)
		}
		if len(record.Steps) != 1 || record.Steps[0].Ended == nil || (record.Steps[0].Error == "") != (c.outcome == nil) {
			t.Errorf("%d: steps %+v", i, record.Steps)
		}
	}
	history, err := History(runner.StateDir)
	if err != nil || len(history) != 4 {
		t.Errorf("history has %d lines, %v", len(history), err)
	}
}

func TestPanicIsAFailure(t *testing.T) {
	runner := testRunner(t.TempDir())
	err := runner.Do(context.Background(), Spec{Job: "backup", Site: "lms"}, func(context.Context, *Run) error { panic("bug") })
	if err == nil || only(t, runner).State != Failed {
		t.Errorf("error %v, %+v", err, only(t, runner))
	}
}

func TestLocked(t *testing.T) {
	runner := testRunner(t.TempDir())
	err := runner.Do(context.Background(), Spec{Job: "backup", Site: "lms"}, func(ctx context.Context, run *Run) error {
		before := only(t, runner)
		if state, ended := before.Result(); ended {
			t.Errorf("a first run that is at work has ended as %s", state)
		}
		if !before.Alive("/proc") {
			t.Error("a running job is not alive")
		}
		if err := runner.Do(ctx, Spec{Job: "restore", Site: "lms"}, nil); !errors.Is(err, ErrLocked) {
			t.Errorf("second job: %v", err)
		}
		if err := runner.Do(ctx, Spec{Job: "backup", Site: "other"}, func(context.Context, *Run) error { return nil }); err != nil {
			t.Errorf("another site: %v", err)
		}
		return runner.Do(ctx, Spec{Job: "verify", Site: "lms", Held: run.Lock()}, func(context.Context, *Run) error { return nil })
	})
	if err != nil {
		t.Error(err)
	}
}

// TestKilledRun kills a real process half way: readers see it interrupted at once, the next run counts it.
func TestKilledRun(t *testing.T) {
	dir := os.Getenv("JOB_TEST_DIR")
	if dir != "" {
		_ = testRunner(dir).Do(context.Background(), Spec{Job: "backup", Site: "lms"}, func(context.Context, *Run) error {
			_, _ = os.Stdout.WriteString("running\n")
			select {}
		})
		return
	}
	dir = t.TempDir()
	child := exec.Command(os.Args[0], "-test.run=TestKilledRun")
	child.Env = append(os.Environ(), "JOB_TEST_DIR="+dir)
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(stdout, make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	runner := testRunner(dir)
	if record := only(t, runner).Settled("/proc"); record.State != Running {
		t.Errorf("while it runs: %s", record.State)
	}
	_ = child.Process.Kill()
	_ = child.Wait()
	if record := only(t, runner).Settled("/proc"); record.State != Interrupted || record.Failures != 1 {
		t.Errorf("after the kill: %+v", record)
	}
	if err := runner.Do(context.Background(), Spec{Job: "backup", Site: "lms"}, func(context.Context, *Run) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if record := only(t, runner); record.Runs != 2 || record.Failures != 1 || record.State != OK {
		t.Errorf("after the next run: %+v", record)
	}
}

// A recycled pid is not the process of the record.
func TestRecycledPID(t *testing.T) {
	boot, _ := bootID("/proc")
	start, _ := processStart("/proc", os.Getpid())
	record := Record{State: Running, PID: os.Getpid(), PIDStart: start, BootID: boot}
	if !record.Alive("/proc") {
		t.Error("we are not alive")
	}
	record.PIDStart++
	if record.Alive("/proc") {
		t.Error("another process with our pid counts as us")
	}
	record.PIDStart--
	record.BootID = "another"
	if record.Alive("/proc") {
		t.Error("a process of another boot counts as us")
	}
}

func TestUnreadableRecords(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"jobs/lms/backup.json":      `{"format":1,"job":"backup","site":"lms","state":"ok"}`,
		"jobs/lms/verify.json":      `{"format":1,"job":"ver`,
		"jobs/lms/restore.json":     `{"format":2,"job":"restore","site":"lms"}`,
		"jobs/other/backup.json":    `{"format":1,"job":"backup","site":"lms"}`,
		"jobs/Bad Name/backup.json": `{"format":1,"job":"backup","site":"Bad Name"}`,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	records, err := Read(dir)
	if len(records) != 1 || records[0].Job != "backup" {
		t.Errorf("records %+v", records)
	}
	for _, name := range []string{"verify.json", "restore.json", "other", "Bad Name"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v does not name %s", err, name)
		}
	}
}

// The log of a run holds what was said in it, and the terminal too.
func TestLog(t *testing.T) {
	runner := testRunner(t.TempDir())
	var terminal bytes.Buffer
	runner.Logger = slog.New(slog.NewTextHandler(&terminal, nil))
	if err := runner.Do(context.Background(), Spec{Job: "backup", Site: "lms"}, func(_ context.Context, run *Run) error {
		run.Logger.Info("dumped", "tables", 489)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	logged, err := os.ReadFile(LogPath(runner.StateDir, only(t, runner)))
	if err != nil || !strings.Contains(string(logged), "tables=489") || !strings.Contains(terminal.String(), "tables=489") {
		t.Errorf("log %q, terminal %q, %v", logged, terminal.String(), err)
	}
}

func FuzzReadRecord(f *testing.F) {
	f.Add([]byte(`{"format":1,"job":"backup","site":"lms","state":"running","pid":1}`))
	dir := f.TempDir()
	path := filepath.Join(dir, "jobs", "lms", "backup.json")
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		records, _ := Read(dir)
		for _, record := range records {
			record.Settled("/proc")
		}
	})
}

// TestAddedLock: a lock that a run takes on the way is held to its end, and one that another job has is said.
func TestAddedLock(t *testing.T) {
	runner := testRunner(t.TempDir())
	path := filepath.Join(t.TempDir(), "backups", ".lock")
	locked := func() bool {
		lock, err := Acquire(path)
		lock.Release()
		return errors.Is(err, ErrLocked)
	}
	err := runner.Do(t.Context(), Spec{Job: "backup", Site: "lms"}, func(_ context.Context, run *Run) error {
		if err := run.AddLock(path); err != nil || !locked() || len(run.LockFiles()) != 2 {
			t.Errorf("%v, locked: %v, files for children: %d", err, locked(), len(run.LockFiles()))
		}
		return nil
	})
	if err != nil || locked() {
		t.Errorf("%v, locked after the run: %v", err, locked())
	}
	other, err := Acquire(path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Release()
	err = runner.Do(t.Context(), Spec{Job: "backup", Site: "lms"}, func(_ context.Context, run *Run) error { return run.AddLock(path) })
	if !errors.Is(err, ErrLocked) || only(t, runner).State != Failed {
		t.Errorf("got %v and %s, want that it is locked, as a failure", err, only(t, runner).State)
	}
}

// TestTemporariesGo: what a killed run was just writing is gone with the next one.
func TestTemporariesGo(t *testing.T) {
	runner := testRunner(t.TempDir())
	dir := filepath.Join(runner.StateDir, "jobs", "lms")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".backup.json.123", ".verify.json.123"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := runner.Do(t.Context(), Spec{Job: "backup", Site: "lms"}, func(context.Context, *Run) error { return nil }); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dir, ".*"))
	if err != nil || len(left) != 1 || filepath.Base(left[0]) != ".verify.json.123" {
		t.Errorf("left are %q (%v), want only those of the other job", left, err)
	}
}
