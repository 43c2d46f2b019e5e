package main

import (
	"os"
	"path/filepath"

	"github.com/moodle-exporter/moodle-exporter/backup/restore"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/statuspage"
)

// restores are those that are not over with, by their journals; unread says what keeps a journal from being read.
func (h *host) restores() (found []statuspage.Restore, unread []string) {
	entries, _ := os.ReadDir(filepath.Join(h.stateDir, "restore")) // not there before the first restore
	for _, entry := range entries {
		if !config.ValidName.MatchString(entry.Name()) {
			continue
		}
		journals, err := restore.Journals(h.stateDir, entry.Name())
		if err != nil {
			unread = append(unread, err.Error())
		}
		for _, j := range journals {
			one := statuspage.Restore{Site: j.Site, Backup: j.Backup, Started: j.Started}
			if !j.Phase.Ended() {
				one.BrokenOff, one.Touched = j.Phase.Words(), j.Phase != restore.Staging
			}
			found = append(found, one)
		}
	}
	return found, unread
}
