// Package job runs the dangerous work of this product (backup, restore, update, maintenance) so that it can
// be watched: one lock for each site, named steps, a record on disk after each of them, a log of its own,
// and a clean end on SIGTERM.
package job

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
)

// State of a run.
type State string

// The states of a run. OK and Partial are successes.
const (
	Running     State = "running"
	OK          State = "ok"
	Partial     State = "partial" // done, but something of the site is missing that nobody accepted
	Failed      State = "failed"
	Interrupted State = "interrupted"
)

// Good says whether the run did its work.
func (s State) Good() bool { return s == OK || s == Partial }

// Record is the last run of one job of one site, as it lies in <state>/jobs/<site>/<job>.json, format 1.
type Record struct {
	Format int    `json:"format"`
	Job    string `json:"job"`
	Site   string `json:"site"` // _host for jobs of the whole host
	ID     string `json:"id"`
	State  State  `json:"state"`
	// LastState is how the run before this one ended: what a reader shows while this one is at work.
	LastState State  `json:"last_state,omitempty"`
	PID       int    `json:"pid"`
	PIDStart  uint64 `json:"pid_start"`       // field 22 of /proc/PID/stat: tells a recycled pid
	PGIDs     []int  `json:"pgids,omitempty"` // process groups that hold the lock
	BootID    string `json:"boot_id"`

	Started     time.Time  `json:"started"`
	Ended       *time.Time `json:"ended,omitempty"`
	LastSuccess *time.Time `json:"last_success,omitempty"`
	Runs        int64      `json:"runs"`
	Failures    int64      `json:"failures"`

	Steps        []Step     `json:"steps,omitempty"`
	DoneBytes    int64      `json:"done_bytes"`
	TotalBytes   int64      `json:"total_bytes"`
	PlannedUntil *time.Time `json:"planned_until,omitempty"` // announced end of a maintenance window
	Error        string     `json:"error,omitempty"`
}

// Step is one named part of a run.
type Step struct {
	Name    string     `json:"name"`
	Started time.Time  `json:"started"`
	Ended   *time.Time `json:"ended,omitempty"`
	Error   string     `json:"error,omitempty"`
}

// Duration is how long the run took, or nothing while it has not ended.
func (r *Record) Duration() (time.Duration, bool) {
	if r.Ended == nil {
		return 0, false
	}
	return r.Ended.Sub(r.Started), true
}

// Alive says whether the process of a running record is still there. Readers never take the lock: the
// process is the same if pid, its start time and the boot agree. procRoot is /proc.
func (r *Record) Alive(procRoot string) bool {
	if r.State != Running {
		return false
	}
	boot, err := bootID(procRoot)
	if err != nil || boot != r.BootID {
		return false
	}
	start, err := processStart(procRoot, r.PID)
	return err == nil && start == r.PIDStart
}

// Settled is the record as a reader should see it: a run whose process is gone was interrupted.
func (r Record) Settled(procRoot string) Record {
	if r.State == Running && !r.Alive(procRoot) {
		return r.interrupted()
	}
	return r
}

// Result is how the last finished run ended; false before the first one has.
func (r *Record) Result() (State, bool) {
	if r.State == Running {
		return r.LastState, r.LastState != ""
	}
	return r.State, true
}

// Read returns every readable record under the state directory. Files that cannot be read or understood
// are named in the error, beside the records of the others.
func Read(stateDir string) ([]Record, error) {
	paths, unread := recordPaths(stateDir)
	var records []Record
	var problems []error
	if unread != nil {
		problems = append(problems, fmt.Errorf("list job records: %w", unread))
	}
	for _, path := range paths {
		record, err := readRecord(path)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		records = append(records, record)
	}
	return records, errors.Join(problems...)
}

// recordPaths lists the files of <state>/jobs/<site>/. A directory that is closed to us is an error: with Glob, its jobs
// would be gone without a word, and their alerts with them.
func recordPaths(stateDir string) (paths []string, err error) {
	if _, err := os.ReadDir(stateDir); err != nil {
		return nil, err //nolint:wrapcheck // names the directory
	}
	root := filepath.Join(stateDir, "jobs")
	sites, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // before the first job
	}
	if err != nil {
		return nil, err //nolint:wrapcheck // names the directory
	}
	for _, site := range sites {
		if !site.IsDir() {
			continue
		}
		files, closed := os.ReadDir(filepath.Join(root, site.Name()))
		err = errors.Join(err, closed)
		for _, file := range files {
			if filepath.Ext(file.Name()) == ".json" {
				paths = append(paths, filepath.Join(root, site.Name(), file.Name()))
			}
		}
	}
	return paths, err
}

const recordLimit = 1 << 20

func readRecord(path string) (Record, error) {
	var record Record
	info, err := os.Stat(path)
	if err != nil {
		return record, fmt.Errorf("read job record: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > recordLimit {
		return record, fmt.Errorf("read job record %s: not a record (%d bytes)", path, info.Size())
	}
	content, err := os.ReadFile(path) //nolint:gosec // below the state directory
	if err != nil {
		return record, fmt.Errorf("read job record: %w", err)
	}
	if err := json.Unmarshal(content, &record); err != nil {
		return record, fmt.Errorf("read job record %s: %w", path, err)
	}
	site := filepath.Base(filepath.Dir(path))
	if record.Format != 1 || record.Site != site || record.Job != strings.TrimSuffix(filepath.Base(path), ".json") {
		return record, fmt.Errorf("read job record %s: format %d of job %q of site %q does not belong there", path, record.Format, record.Job, record.Site)
	}
	if site != config.HostName && !config.ValidName.MatchString(site) {
		return record, fmt.Errorf("read job record %s: %q is no site name", path, site)
	}
	return record, nil
}

// previous is the record of the last run, or an empty one before the first.
func previous(path string) (Record, error) {
	record, err := readRecord(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Record{}, nil
	}
	return record, err
}

// AtWork names the steps that have begun and not ended, of which there may be several; between two steps it is the last
// one, and before the first none.
func (r Record) AtWork() string {
	var names []string
	for _, step := range r.Steps {
		if step.Ended == nil {
			names = append(names, step.Name)
		}
	}
	if last := len(r.Steps) - 1; len(names) == 0 && last >= 0 {
		return r.Steps[last].Name
	}
	return strings.Join(names, ", ")
}
