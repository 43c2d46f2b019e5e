package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/collector"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
	"github.com/moodle-exporter/moodle-exporter/internal/probe"
)

// backups is the state of the backups of every site, as the privileged look has found it: the backups
// themselves are closed to the exporter.
func (h *host) backups(context.Context) ([]collector.BackupState, error) {
	snapshot := h.view.Snapshot()
	settings := h.settings.Load()
	var states []collector.BackupState
	var problems []error
	records, _ := job.Read(h.stateDir) // those that cannot be read are the job collector's to tell
	for _, facts := range snapshot.Sites {
		state := backupState(facts, settings)
		for _, record := range records {
			if record.Site == facts.Name {
				addRun(&state, record.Settled(procRoot))
			}
		}
		states = append(states, state)
		for _, problem := range facts.Backup.Problems {
			problems = append(problems, fmt.Errorf("backup %s of site %s cannot be relied on", problem, facts.Name))
		}
	}
	return states, errors.Join(problems...)
}

func backupState(facts *probe.SiteFacts, settings *config.Config) collector.BackupState {
	found := facts.Backup
	state := collector.BackupState{
		Site: facts.Name, Enabled: facts.Primary && facts.Config.MySQL(),
		Backups: found.Backups, StoredBytes: found.StoredBytes, SameFilesystem: found.SameFilesystem,
		BaselineDuration: time.Duration(found.BaselineTime * float64(time.Second)),
		MissingFiles:     found.Missing, AcceptedMissing: found.Accepted, DamagedFiles: found.Damaged,
		Verify:  collector.Rehearsal{MaxAge: verifyMaxAge},
		Offsite: offsiteState(found, placeOf(settings.Backup.Offsite, facts.Name)),
	}
	if v := found.Verify; v != nil {
		state.Verify.LastResult = &v.Intact
		state.Verify.LastSuccess = time.UnixMilli(int64(v.LastSuccess * 1000))
	}
	for _, name := range append([]string{backup.All}, backup.Components...) {
		component := collector.BackupComponent{Name: name, MaxAge: time.Duration(settings.Backup.MaxAge.Of(name))}
		if seen, made := found.Components[name]; made {
			component.LastSuccess = time.UnixMilli(int64(seen.LastSuccess * 1000))
			component.SizeBytes, component.WrittenBytes, component.BaselineBytes = seen.Size, seen.Written, seen.Baseline
		}
		state.Components = append(state.Components, component)
	}
	return state
}

// offsiteState is what is known of the copies in a place. What is known of another place is worth nothing:
// then all there is still has to be copied.
func offsiteState(found backup.Inventory, place string) collector.Offsite {
	if place == "" {
		return collector.Offsite{}
	}
	pending := found.StoredBytes
	if found.Offsite.Place == place {
		pending = found.Offsite.Pending
	}
	return collector.Offsite{Enabled: true, PendingBytes: &pending}
}

// drillMaxAge is a monthly rehearsal and some days.
const drillMaxAge = 35 * 24 * time.Hour

// addRun adds what the record of a rehearsed restore or of a copy to another place tells about the backups.
func addRun(state *collector.BackupState, record job.Record) {
	var success time.Time
	if record.LastSuccess != nil {
		success = *record.LastSuccess
	}
	switch record.Job {
	case "drill":
		state.Drill = collector.Rehearsal{LastSuccess: success, MaxAge: drillMaxAge}
		if last, ended := record.Result(); ended {
			good := last.Good()
			state.Drill.LastResult = &good
		}
		if took, ended := record.Duration(); ended && record.State.Good() {
			state.Drill.LastDuration = took
		}
	case "copy":
		state.Offsite.LastSuccess = success
		// Between two looks a copy at work knows better. How one ended does not tell what is pending: it may
		// have failed before it knew, and backups may have been made since.
		if pending := max(0, record.TotalBytes-record.DoneBytes); record.State == job.Running && record.TotalBytes > 0 {
			state.Offsite.PendingBytes = &pending
		}
	}
}
