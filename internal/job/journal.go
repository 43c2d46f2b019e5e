package job

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// JournalFile is where a job that exchanges a site keeps what somebody must know who finds it broken off:
// <state>/<job>/<site>/<id>.json, on disk before anything that it speaks of is done. Only the holder of the site's lock
// writes it.
type JournalFile struct {
	Path  string
	Group int // that may read it; -1 leaves the one it has
}

// NewJournalFile is the one of a job that begins.
func NewJournalFile(stateDir, job, site, id string, group int) JournalFile {
	f := JournalFile{filepath.Join(journalDir(stateDir, job, site), id+".json"), group}
	f.discardTorn()
	return f
}

func journalDir(stateDir, job, site string) string { return filepath.Join(stateDir, job, site) }

// Save writes a journal, durably.
func (f JournalFile) Save(journal any) error {
	content, err := json.MarshalIndent(journal, "", "  ")
	if err != nil {
		return err
	}
	for _, dir := range []string{filepath.Dir(filepath.Dir(f.Path)), filepath.Dir(f.Path)} {
		if err := EnsureDir(dir, f.Group); err != nil {
			return fmt.Errorf("write the journal: %w", err)
		}
	}
	if err := WriteFile(f.Path, append(content, '\n'), 0o640, f.Group); err != nil {
		return fmt.Errorf("write the journal: %w", err)
	}
	return nil
}

// Remove forgets the job: nothing of it is left.
func (f JournalFile) Remove() error {
	f.discardTorn()
	if err := os.Remove(f.Path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the journal: %w", err)
	}
	return nil
}

// discardTorn removes journals that were being written by somebody who was killed over it. What cannot be removed does no
// harm: no such name is ever read.
func (f JournalFile) discardTorn() {
	torn, _ := filepath.Glob(filepath.Join(filepath.Dir(f.Path), ".*.json.*"))
	for _, path := range torn {
		_ = os.Remove(path)
	}
}

// journalHead is what every journal begins with.
type journalHead struct {
	Format int    `json:"format"`
	ID     string `json:"id"`
	Site   string `json:"site"`
}

// ReadJournals hands over those of a site, oldest first. One that cannot be read, or is of another format, is an error:
// what it speaks of is not known, and so nothing can be begun.
func ReadJournals(stateDir, job, site string, format int, read func(file JournalFile, content []byte) error) error {
	dir := journalDir(stateDir, job, site)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for an earlier %s: %w", job, err)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	for _, entry := range entries {
		if filepath.Ext(entry.Name()) != ".json" {
			continue
		}
		path := filepath.Join(dir, entry.Name())
		content, err := os.ReadFile(path) //nolint:gosec // below the state directory
		if err != nil {
			return fmt.Errorf("look for an earlier %s: %w", job, err)
		}
		var head journalHead
		if err = json.Unmarshal(content, &head); err == nil && (head.Format != format || head.Site != site) {
			err = fmt.Errorf("format %d of site %q does not belong there", head.Format, head.Site)
		}
		if err == nil {
			err = read(JournalFile{path, -1}, content)
		}
		if err != nil {
			return fmt.Errorf("read the journal %s: %w", path, err)
		}
	}
	return nil
}
