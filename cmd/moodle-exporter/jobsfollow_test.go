package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

const followedVariable = "MOODLE_EXPORTER_TEST_FOLLOWED"

// shared is a buffer that is read while it is written.
type shared struct {
	mu      sync.Mutex
	content strings.Builder
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.content.Write(p)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.content.String()
}

func (s *shared) await(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(s.String(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not say %q:\n%s", text, s.String())
		}
	}
}

// followed is the job in another process: it goes on when a file appears, and ends as it is told.
func followed(dir, end string) error {
	runner := &job.Runner{StateDir: filepath.Join(dir, "state"), LockDir: filepath.Join(dir, "run"), ProcRoot: "/proc", Group: -1,
		Clock: time.Now, Logger: slog.New(slog.DiscardHandler)}
	return runner.Do(context.Background(), job.Spec{Job: "backup", Site: "lms"}, func(ctx context.Context, run *job.Run) error {
		run.SetTotal(1000)
		return run.Step(ctx, "dump", func(context.Context) error {
			run.Add(500)
			run.Logger.Info("first words")
			for {
				if _, err := os.Stat(filepath.Join(dir, "go")); err == nil {
					break
				}
				time.Sleep(5 * time.Millisecond)
			}
			run.Logger.Info("last words")
			switch end {
			case "partial":
				return job.ErrPartial
			case "failed":
				return errors.New("no room")
			case "killed":
				return syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
			return nil
		})
	})
}

// TestFollow: a job of another process is shown as it goes on, and ends the command as it ends itself.
func TestFollow(t *testing.T) {
	if told := os.Getenv(followedVariable); told != "" {
		dir, end, _ := strings.Cut(told, " ")
		_ = followed(dir, end)
		return
	}
	for _, test := range []struct {
		end  string
		code int
		says string
	}{
		{"ok", exitDone, "backup of lms: ok"}, {"partial", exitPartial, "backup of lms: partial"}, {"failed", exitFailed, "no room"},
		{"killed", exitInterrupted, "backup of lms: interrupted"}, {"pruned", exitDone, "last words"}, {"left", exitInterrupted, ""},
	} {
		t.Run(test.end, func(t *testing.T) {
			dir := t.TempDir()
			binary, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			child := exec.CommandContext(t.Context(), binary, "-test.run=^TestFollow$")
			child.Env = append(os.Environ(), followedVariable+"="+dir+" "+test.end)
			if err := child.Start(); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = child.Wait() }()
			var id string
			for deadline := time.Now().Add(20 * time.Second); id == "" && time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
				if records, _ := job.Read(filepath.Join(dir, "state")); len(records) == 1 && records[0].DoneBytes > 0 {
					id = records[0].ID
				}
			}
			var stdout, stderr shared
			ended := make(chan int, 1)
			go func() {
				ended <- run([]string{"--state.dir=" + filepath.Join(dir, "state"), "jobs", "show", "lms/backup/" + id, "--follow"}, &stdout, &stderr)
			}()
			stdout.await(t, "first words")
			stdout.await(t, "dump: 50 % of 1000 B\n")
			switch test.end {
			case "pruned":
				if err := os.Remove(job.LogPath(filepath.Join(dir, "state"), job.Record{Job: "backup", ID: id, Site: "lms"})); err != nil {
					t.Fatal(err)
				}
			case "left":
				if err := syscall.Kill(os.Getpid(), syscall.SIGINT); err != nil {
					t.Fatal(err)
				}
				stderr.await(t, "it goes on")
			}
			goOn := func() {
				if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if test.end != "left" {
				goOn()
			}
			got := <-ended
			goOn()
			if got != test.code || !strings.Contains(stdout.String(), test.says) || strings.Contains(stdout.String(), "last words") == (test.end == "left") {
				t.Errorf("exit %d, want %d:\n%s%s", got, test.code, stdout.String(), stderr.String())
			}
			if strings.Count(stdout.String(), "first words") != 1 {
				t.Errorf("the log is told twice:\n%s", stdout.String())
			}
		})
	}
}

// TestRunsOfOneSecond have one ID and are told apart by site and job.
func TestRunsOfOneSecond(t *testing.T) {
	dir := t.TempDir()
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	runner := &job.Runner{StateDir: dir, LockDir: filepath.Join(dir, "run"), ProcRoot: "/proc", Group: -1,
		Clock: func() time.Time { return now }, Logger: slog.New(slog.DiscardHandler)}
	for _, site := range []string{"lms", "exams"} {
		if err := runner.Do(t.Context(), job.Spec{Job: "backup", Site: site}, func(context.Context, *job.Run) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	id := now.Format(job.IDLayout)
	for _, test := range []struct {
		args string
		code int
		says []string
	}{
		{id, 0, []string{"backup of lms", "backup of exams"}},
		{"exams/backup/" + id, 0, []string{"backup of exams"}},
		{"exams/backup/" + id + " --follow", 0, []string{"backup of exams: ok"}},
		{id + " --follow", 1, []string{"exams/backup/" + id, "lms/backup/" + id}},
		{"other/backup/" + id, 1, []string{"no run has the ID"}},
	} {
		var stdout, stderr shared
		code := run(append([]string{"--state.dir=" + dir, "jobs", "show"}, strings.Fields(test.args)...), &stdout, &stderr)
		all := fmt.Sprint(stdout.String(), stderr.String())
		for _, text := range test.says {
			if !strings.Contains(all, text) {
				t.Errorf("%s does not say %q:\n%s", test.args, text, all)
			}
		}
		if code != test.code || len(test.says) == 1 && strings.Contains(all, "of lms") {
			t.Errorf("%s: exit %d\n%s", test.args, code, all)
		}
	}
}
