package job

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

const (
	historyFile  = "history.jsonl"
	historyLimit = 2 << 20 // bytes at which the older half of the history goes
	logsKept     = 20      // for each job of each site
)

// History returns how past runs ended, oldest first. Lines that a crash cut short are passed over.
func History(stateDir string) ([]Record, error) {
	file, err := os.Open(filepath.Join(stateDir, historyFile)) //nolint:gosec // a file of ours
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read job history: %w", err)
	}
	defer func() { _ = file.Close() }()
	var records []Record
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, recordLimit)
	for lines.Scan() {
		var record Record
		if json.Unmarshal(lines.Bytes(), &record) == nil && record.Format == 1 {
			records = append(records, record)
		}
	}
	if err := lines.Err(); err != nil {
		return records, fmt.Errorf("read job history: %w", err)
	}
	return records, nil
}

// LogPath is where the log of a run lies.
func LogPath(stateDir string, record Record) string {
	return filepath.Join(stateDir, "log", record.Job+"-"+record.ID+"-"+record.Site+".log")
}

// remember appends a finished run to the history. It is for people; losing a line is no reason to fail.
func (r *Runner) remember(record Record) {
	line, err := json.Marshal(&record)
	if err != nil {
		return
	}
	path := filepath.Join(r.StateDir, historyFile)
	if err := appendLine(path, line, r.Group); err != nil {
		r.Logger.Warn("the job history cannot be written", "err", err)
	}
}

func appendLine(path string, line []byte, group int) error {
	if content, err := os.ReadFile(path); err == nil && len(content) > historyLimit { //nolint:gosec // a file of ours
		half := content[len(content)/2:]
		if err := WriteFile(path, half[bytes.IndexByte(half, '\n')+1:], 0o640, group); err != nil {
			return err
		}
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640) //nolint:gosec // group may read
	if err != nil {
		return err
	}
	err = shareWith(group, file)
	_, writeErr := file.Write(append(append([]byte{}, line...), '\n'))
	return errors.Join(err, writeErr, file.Close())
}

func (r *Runner) openLog(record Record) (*os.File, error) {
	file, err := os.OpenFile(LogPath(r.StateDir, record), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640) //nolint:gosec // group may read
	if err != nil {
		return nil, fmt.Errorf("open the run's log: %w", err)
	}
	if err := shareWith(r.Group, file); err != nil {
		return nil, errors.Join(fmt.Errorf("open the run's log: %w", err), file.Close())
	}
	return file, nil
}

// shareWith lets a group read a file, whatever the umask.
func shareWith(group int, file *os.File) error {
	if err := file.Chmod(0o640); err != nil || group < 0 {
		return err
	}
	return file.Chown(-1, group)
}

// pruneLogs keeps the newest logs of this job; their names sort by time.
func (r *Runner) pruneLogs(record Record) {
	paths, err := filepath.Glob(filepath.Join(r.StateDir, "log", record.Job+"-*Z-"+record.Site+".log"))
	if err != nil || len(paths) <= logsKept {
		return
	}
	slices.Sort(paths)
	for _, path := range paths[:len(paths)-logsKept] {
		_ = os.Remove(path)
	}
}
