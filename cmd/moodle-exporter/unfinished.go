package main

import (
	"path/filepath"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/backup/restore"
)

// refuseUnfinishedUpdate keeps a restore from a site that an update has left half-way: only the update knows what is what.
func (e *environment) refuseUnfinishedUpdate(site string) error {
	journals, err := filepath.Glob(filepath.Join(e.stateDir, "update", site, "*.json"))
	if err != nil || len(journals) == 0 {
		return err
	}
	return &backup.RefusedError{
		Happened: "an update of site " + site + " was broken off (" + filepath.Base(journals[0]) + ")",
		Means:    "code and database may be of different versions, and a restore would not know what to keep as the site of before",
		Do:       "end it first: `moodle-exporter update --site=" + site + "` finds it, and finishes or undoes it",
	}
}

// refuseUnfinishedRestore keeps a backup from taking a site for whole of which parts are exchanged and others are not.
func (e *environment) refuseUnfinishedRestore(site string) error {
	journal, err := restore.Unfinished(e.stateDir, site)
	if err != nil || journal == nil || journal.Phase == restore.Staging {
		return err
	}
	return &backup.RefusedError{
		Happened: "a restore of site " + site + " was broken off " + journal.Phase.Words(),
		Means:    "parts of the site may be those from before and others those of the restored backup: a backup of that would be worth nothing",
		Do:       "end it first: `moodle-exporter restore --site=" + site + "` finds it, and finishes or undoes it",
	}
}
