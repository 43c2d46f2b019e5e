package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

// node_exporter sees a run while it goes on and how it ended, in a file that parses.
func TestTextfile(t *testing.T) {
	dir := t.TempDir()
	e := &environment{stateDir: filepath.Join(dir, "state"), textfile: dir, clock: time.Now, logger: slog.New(slog.DiscardHandler)}
	runner := e.runner()
	runner.Watch = e.watch(context.Background(), newBar(io.Discard, ""))
	read := func() string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(dir, textfileName))
		if err != nil {
			t.Fatal(err)
		}
		parser := expfmt.NewTextParser(model.UTF8Validation)
		if _, err := parser.TextToMetricFamilies(strings.NewReader(string(text))); err != nil {
			t.Errorf("node_exporter would drop it: %v", err)
		}
		return string(text)
	}
	broken := errors.New("broken")
	err := runner.Do(context.Background(), job.Spec{Job: "backup", Site: "lms"}, func(context.Context, *job.Run) error {
		if text := read(); !strings.Contains(text, `moodle_job_running{name="backup",site="lms"} 1`) {
			t.Errorf("while it runs:\n%s", text)
		}
		return broken
	})
	if !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if text := read(); !strings.Contains(text, `moodle_job_last_result{name="backup",site="lms"} 0`) || strings.Contains(text, "moodle_scrape") {
		t.Errorf("after it:\n%s", text)
	}
}

// With several sites the worst outcome counts, in the order of the contract.
func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, exitDone},
		{errors.New("any"), exitFailed},
		{job.ErrLocked, exitLocked},
		{sites{job.ErrLocked, job.ErrPartial}, exitLocked},
		{sites{job.ErrPartial, errors.New("any"), job.ErrLocked}, exitFailed},
		{sites{errors.New("any"), context.Canceled}, exitInterrupted},
		{exitStatus(2), 2},
	} {
		e := &environment{stderr: io.Discard}
		if got := e.finish(context.Background(), c.err); got != c.want {
			t.Errorf("%v: exit code %d, want %d", c.err, got, c.want)
		}
	}
}
