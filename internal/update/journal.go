package update

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup/database"
	"github.com/moodle-exporter/moodle-exporter/backup/tree"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

// Phase is how far an update has come. It is written down before the first thing of the phase is done.
type Phase string

// The phases of an update. Whatever ends it before Open is undone; what ends it later is finished.
const (
	Staging   Phase = "staging"   // beside the live site, which is open and as it was
	Draining  Phase = "draining"  // cron is being stopped; the site is open
	Closed    Phase = "closed"    // in maintenance mode; the code may be the old or the new one, the database is untouched
	Upgrading Phase = "upgrading" // upgrade.php was started: the database may be of neither version
	Visiting  Phase = "visiting"  // the updated site has been opened, and its login page is looked at
	Open      Phase = "open"      // the updated site is open
)

// Journal is what somebody needs to know who finds an update that was broken off: <state>/update/<site>/<id>.json. It is
// on disk before anything that it speaks of is done, and it holds no secret.
type Journal struct {
	Format  int       `json:"format"`
	ID      string    `json:"id"`
	Site    string    `json:"site"`
	Phase   Phase     `json:"phase"`
	Started time.Time `json:"started"`
	From    string    `json:"from"` // version of the code before
	To      string    `json:"to,omitempty"`

	Code     string `json:"code"`
	Dataroot string `json:"dataroot"`
	User     string `json:"user"`
	CronOn   bool   `json:"cron_on"` // before
	Binlog   bool   `json:"binlog"`  // replicas follow the database server

	Opened time.Time `json:"opened,omitzero"` // the updated site
	// Reopened says that somebody has opened the site while it was of neither version: what was written then is kept.
	Reopened bool `json:"reopened,omitempty"`

	CodeMoves []tree.Move `json:"code_moves,omitempty"`
	Scratch   []string    `json:"scratch,omitempty"` // directories of ours
	Dump      string      `json:"dump,omitempty"`    // ID of the backup that the database comes back from
	// Database says how the way back of the database went: nil before it was begun.
	Database *journaled `json:"database,omitempty"`

	file job.JournalFile
}

// journaled is what the journal says about the way back of the database, and how to get to it: no password.
type journaled struct {
	DB       string           `json:"db"`
	Prefix   string           `json:"prefix"`
	Rows     map[string]int64 `json:"rows"` // of the tables in the dump
	SiteUser string           `json:"site_user"`
	Loaded   bool             `json:"loaded"` // and counted: it can be exchanged
	Done     bool             `json:"done"`
	Kept     string           `json:"kept,omitempty"` // schema with the rows of the updated site
}

const (
	jobName       = "update"
	journalFormat = 1
)

func newJournal(stateDir, site, id string, group int) *Journal {
	return &Journal{Format: journalFormat, Site: site, ID: id, Phase: Staging, file: job.NewJournalFile(stateDir, jobName, site, id, group)}
}

func (j *Journal) save() error { return j.file.Save(j) }

// enter writes down that a phase begins.
func (j *Journal) enter(phase Phase) error {
	j.Phase = phase
	return j.save()
}

// remove forgets the update: nothing of it is left.
func (j *Journal) remove() error { return j.file.Remove() }

// Unfinished is the update of the site that was broken off, if there is one. A journal that cannot be read is an error:
// what it speaks of is not known, and so nothing can be begun.
func Unfinished(stateDir, site string) (found *Journal, err error) {
	err = job.ReadJournals(stateDir, jobName, site, journalFormat, func(file job.JournalFile, content []byte) error {
		if found != nil {
			return nil // there is one at a time
		}
		found = &Journal{file: file}
		return json.Unmarshal(content, found)
	})
	if err != nil {
		return nil, err
	}
	return found, nil
}

// Words say what the site is like in a phase.
func (p Phase) Words() string {
	switch p {
	case Staging:
		return "before it touched the site, which is open and as it was"
	case Draining:
		return "when it had stopped cron: the site is open and as it was, but its tasks do not run"
	case Closed:
		return "while the site was closed and its database still untouched"
	case Upgrading:
		return "in the middle of Moodle's upgrade: the site is closed, and its database of neither version"
	case Visiting:
		return "after the updated site was opened"
	case Open:
		return "after its end"
	}
	return "at a moment that this version does not know (" + string(p) + ")"
}

// keptWords say where rows are that were written into the updated site before it was taken back.
func (j *Journal) keptWords() string {
	if j.Database == nil || j.Database.Kept == "" {
		return ""
	}
	return fmt.Sprintf("\nWhat was written into the updated site is kept in the schema %s. When nobody needs it: DROP DATABASE `%s`",
		j.Database.Kept, strings.ReplaceAll(j.Database.Kept, "`", "``"))
}

func (j *Journal) staged() string { return database.StagedName(j.Database.DB, j.ID) }
func (j *Journal) old() string    { return database.OldName(j.Database.DB, j.ID) }

var errUnfinished = errors.New("it was broken off")

// UnfinishedError is an update that neither came to its end nor could be undone.
type UnfinishedError struct {
	Journal *Journal
	Err     error
}

// Error implements error.
func (e *UnfinishedError) Error() string {
	state := "The site may be in maintenance mode, with code or database of the one or the other version; nothing is lost: the old code is kept, and the database is in backup " + e.Journal.Dump + "."
	if e.Journal.Phase == Staging || e.Journal.Phase == Draining {
		state = "The site is open and as it was."
	}
	return fmt.Sprintf("the update %s of site %s has not come to an end: %v.\n%s\nMend what the error names, then run `moodle-exporter update --site=%s`: it finds this update, and undoes or finishes it.",
		e.Journal.ID, e.Journal.Site, e.Err, state, e.Journal.Site)
}

// Unwrap returns what keeps the update from its end.
func (e *UnfinishedError) Unwrap() error { return e.Err }
