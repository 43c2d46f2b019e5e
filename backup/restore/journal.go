package restore

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup/tree"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

// Phase is how far a restore has come. It is written down before the first thing of the phase is done.
type Phase string

// The phases of a restore. Whatever ends it before Open is undone; what ends it later is finished.
const (
	Staging   Phase = "staging"   // beside the live site, which is open and as it was
	Switching Phase = "switching" // the site is closed; parts of it may be the old ones and parts the new ones
	Visiting  Phase = "visiting"  // the restored site has been opened, and its login page is looked at
	Open      Phase = "open"      // the restored site is open; the old one is kept
	Undone    Phase = "undone"    // the old site is back; what somebody had opened in its place is kept
)

// Ended says whether the restore has come to its end, and only keeps something until it is discarded.
func (p Phase) Ended() bool { return p == Open || p == Undone }

// Journal is what somebody needs to know who finds a restore that was broken off: <state>/restore/<site>/<id>.json.
// It is on disk before anything that it speaks of is done, and it holds no secret.
type Journal struct {
	Format  int       `json:"format"`
	ID      string    `json:"id"` // of the restore
	Site    string    `json:"site"`
	Backup  string    `json:"backup"`
	Phase   Phase     `json:"phase"`
	Started time.Time `json:"started"`
	Opened  time.Time `json:"opened,omitzero"` // when users were let in
	Ended   time.Time `json:"ended,omitzero"`  // of a restore that came to its end
	// Reopened: users may have written to the restored site before it was taken back. Nothing of that is deleted.
	Reopened bool `json:"reopened,omitempty"`

	Components []string `json:"components"`
	Dataroot   string   `json:"dataroot"`
	Code       string   `json:"code"`
	User       string   `json:"user"`

	Database  *journaled  `json:"database,omitempty"`
	CodeMoves []tree.Move `json:"code_moves,omitempty"`
	DataMoves []tree.Move `json:"data_moves,omitempty"`
	// Scratch are directories of ours that go when the restore is undone, or has nothing to keep.
	Scratch []string `json:"scratch,omitempty"`
	// Made are directories for code and data that were not there before, in the order in which they were made.
	Made []string `json:"made,omitempty"`
	// Put are files and directories of the host's configuration that were not there before, without the first slash.
	Put []string `json:"put,omitempty"`
	// Replaced are files of the host's configuration that gave way, without the first slash; keptConfig has them.
	Replaced []string `json:"replaced,omitempty"`

	file job.JournalFile
}

const (
	jobName       = "restore"
	journalFormat = 1
)

// newJournal is that of a restore that begins. The caller holds the site's lock.
func newJournal(stateDir, site, id string, group int) *Journal {
	return &Journal{Format: journalFormat, Site: site, ID: id, file: job.NewJournalFile(stateDir, jobName, site, id, group)}
}

func (j *Journal) save() error { return j.file.Save(j) }

// remove forgets the restore: nothing of it is left.
func (j *Journal) remove() error {
	if err := j.file.Remove(); err != nil {
		return err
	}
	if err := os.RemoveAll(j.keptConfig()); err != nil {
		return fmt.Errorf("remove the configuration that the restore has kept: %w", err)
	}
	return nil
}

// Journals are those of a site, oldest first. A journal that cannot be read is an error: what it speaks of
// is not known, and so nothing can be begun.
func Journals(stateDir, site string) (journals []*Journal, err error) {
	err = job.ReadJournals(stateDir, jobName, site, journalFormat, func(file job.JournalFile, content []byte) error {
		j := &Journal{file: file}
		journals = append(journals, j)
		return json.Unmarshal(content, j)
	})
	if err != nil {
		return nil, err
	}
	return journals, nil
}

// Unfinished is the restore of the site that was broken off, if there is one.
func Unfinished(stateDir, site string) (*Journal, error) {
	journals, err := Journals(stateDir, site)
	if err != nil {
		return nil, err
	}
	for _, j := range journals {
		if !j.Phase.Ended() {
			return j, nil
		}
	}
	return nil, nil
}

// Words say what the site is like in a phase.
func (p Phase) Words() string {
	switch p {
	case Staging:
		return "before it touched the site, which is open and as it was"
	case Switching:
		return "while the site was exchanged: it is in maintenance mode"
	case Visiting:
		return "after the restored site was opened"
	case Open, Undone:
		return "after its end"
	}
	return "at a moment that this version does not know (" + string(p) + ")"
}
