package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

// followEvery is how often a run is looked at; its record is written once a second.
const followEvery = 250 * time.Millisecond

// exitOfState are the exit codes that tell how a run ended; the record keeps no finer reason of a failure.
var exitOfState = map[job.State]int{
	job.OK: exitDone, job.Partial: exitPartial, job.Failed: exitFailed, job.Interrupted: exitInterrupted,
}

// followRun shows a run until it has ended, and ends as it did. Whoever stops looking does not stop the run.
func (e *environment) followRun(ctx context.Context, run job.Record, to io.Writer) (job.Record, error) {
	screen := &screen{bar: newBar(e.stderr, run.Job+" of "+siteLabel(run.Site)), to: to, plain: !terminal(e.stderr)}
	follower := job.Follower{StateDir: e.stateDir, ProcRoot: procRoot, Every: followEvery, Log: screen, Watch: screen.show}
	ended, err := follower.Follow(ctx, run)
	screen.bar.end()
	if errors.Is(err, context.Canceled) {
		_, _ = fmt.Fprintf(e.stderr, "moodle-exporter: no longer following %s; it goes on\n", run.ID)
		return ended, exitStatus(exitInterrupted)
	}
	return ended, err
}

// screen is where progress and log of a followed run go: a bar below the log on a terminal, lines elsewhere.
type screen struct {
	bar   *bar
	to    io.Writer
	plain bool

	rest []byte // of the log, a line that is not whole yet
	last string // line of progress
}

func (s *screen) show(record job.Record) {
	s.bar.show(record)
	if line := progressLine(record); s.plain && line != s.last && line != "" {
		s.last = line
		_, _ = fmt.Fprintln(s.to, line)
	}
}

// Write takes the log and passes on whole lines.
func (s *screen) Write(p []byte) (int, error) {
	s.rest = append(s.rest, p...)
	end := bytes.LastIndexByte(s.rest, '\n') + 1
	if end == 0 {
		return len(p), nil
	}
	s.bar.clear()
	_, err := s.to.Write(s.rest[:end])
	s.rest = append(s.rest[:0], s.rest[end:]...)
	return len(p), err
}

// progressLine says where a run is, in tenths of the way.
func progressLine(record job.Record) string {
	line := record.AtWork()
	if line != "" && record.TotalBytes > 0 {
		tenth := min(record.DoneBytes*10/record.TotalBytes, 10)
		line += fmt.Sprintf(": %d %% of %s", tenth*10, backup.Bytes(record.TotalBytes))
	}
	return line
}
