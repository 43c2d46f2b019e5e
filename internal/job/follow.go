package job

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Follower looks on while a run of any process is at work. It takes no lock and leaves the run alone.
type Follower struct {
	StateDir string
	ProcRoot string
	Every    time.Duration // between two looks
	Log      io.Writer     // gets the run's log as it grows
	Watch    func(Record)  // told of every look
}

// Follow returns when the run has ended, with how it did; a run whose process is gone was interrupted. The
// error is that of ctx, or of what kept us from looking.
func (f *Follower) Follow(ctx context.Context, run Record) (Record, error) {
	log := &growing{path: LogPath(f.StateDir, run)}
	defer log.close()
	tick := time.NewTicker(f.Every)
	defer tick.Stop()
	for {
		now, err := f.look(run)
		if err != nil {
			return run, err
		}
		if now.State == Running {
			f.Watch(now) // before the log, which then stands above a progress bar
		}
		if err := log.copy(f.Log); err != nil {
			return now, fmt.Errorf("follow the log of run %s: %w", run.ID, err)
		}
		if now.State != Running {
			return now, nil
		}
		select {
		case <-ctx.Done():
			return now, ctx.Err()
		case <-tick.C:
		}
	}
}

// look finds the run in its record, or in the history if another run of the job has taken that.
func (f *Follower) look(run Record) (Record, error) {
	path := filepath.Join(f.StateDir, "jobs", run.Site, run.Job+".json")
	record, err := readRecord(path)
	if err == nil && record.ID == run.ID {
		return record.Settled(f.ProcRoot), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return run, err
	}
	past, err := History(f.StateDir)
	for _, record := range past {
		if record.Site == run.Site && record.Job == run.Job && record.ID == run.ID {
			run = record
		}
	}
	if run.State == Running {
		run = run.interrupted() // it has left no trace
	}
	return run, err
}

// growing is a file that somebody writes to, and may remove: what was opened can be read to its end.
type growing struct {
	path string
	file *os.File
}

func (g *growing) copy(to io.Writer) (err error) {
	if g.file == nil {
		if g.file, err = os.Open(g.path); errors.Is(err, fs.ErrNotExist) {
			g.file = nil
			return nil // not there yet, or pruned
		}
		if err != nil {
			return err
		}
	}
	_, err = io.Copy(to, g.file)
	return err
}

func (g *growing) close() {
	if g.file != nil {
		_ = g.file.Close()
	}
}
