package main

import (
	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/backup/restore"
	"github.com/moodle-exporter/moodle-exporter/internal/update"
)

// refuseUnfinishedUpdate keeps a restore or backup from a site that an update has left half-way: only the update knows what
// is what.
func (e *environment) refuseUnfinishedUpdate(site string) error {
	journal, err := update.Unfinished(e.stateDir, site)
	if err != nil || journal == nil || journal.Phase == update.Staging {
		return err
	}
	return &backup.RefusedError{
		Happened: "an update of site " + site + " was broken off " + journal.Phase.Words(),
		Means:    "code and database may be of different versions: a backup of that would be worth nothing, and a restore would not know what to keep as the site of before",
		Do:       "end it first: `moodle-exporter update --site=" + site + "` finds it, and finishes or undoes it",
	}
}

// refuseUnfinishedRestore keeps a backup from taking a site for whole of which parts are exchanged and others are not, by a
// restore or an update.
func (e *environment) refuseUnfinishedRestore(site string) error {
	if err := e.refuseUnfinishedUpdate(site); err != nil {
		return err
	}
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
