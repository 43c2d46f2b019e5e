package collector

import (
	"context"
	"errors"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
	"github.com/moodle-exporter/moodle-exporter/internal/probe"
)

// BackupFacts puts the state of the backups together from the inventories in the facts, which the exporter
// may not take itself, the records of jobs, and the configuration.
type BackupFacts struct {
	View     *probe.View
	Settings func() config.Backup // the configuration in force
	StateDir string               // of the job records
	ProcRoot string               // /proc but in tests
	Clock    func() time.Time
}

// Read is for NewBackup. Facts that are missing or stale and records that cannot be read are an error beside
// the states.
func (b *BackupFacts) Read(context.Context) ([]BackupState, error) {
	snapshot := b.View.Snapshot()
	records, err := job.Read(b.StateDir)
	err = errors.Join(err, snapshot.Err)
	if snapshot.Err == nil {
		err = errors.Join(err, StaleFacts(snapshot, b.Clock()))
	}
	settings := b.Settings()
	states := make([]BackupState, 0, len(snapshot.Sites))
	for _, facts := range snapshot.Sites {
		state := inventoryState(facts, &settings)
		for _, record := range records {
			if record.Site == facts.Name {
				state.addRecord(record.Settled(b.ProcRoot))
			}
		}
		states = append(states, state)
	}
	return states, err
}

func inventoryState(facts *probe.SiteFacts, settings *config.Backup) BackupState {
	inventory := &facts.Backup
	state := BackupState{
		Site: facts.Name, Enabled: facts.Primary && facts.Config.MySQL(),
		Backups: inventory.Backups, StoredBytes: inventory.StoredBytes, SameFilesystem: inventory.SameFilesystem,
		BaselineDuration: time.Duration(inventory.BaselineTime * float64(time.Second)),
		MissingFiles:     inventory.Missing, AcceptedMissing: inventory.Accepted, DamagedFiles: &inventory.Damaged,
		Offsite: Offsite{Enabled: settings.Offsite != nil},
	}
	for _, name := range append([]string{backup.All}, config.Components...) {
		component := BackupComponent{Name: name, MaxAge: time.Duration(settings.MaxAge.Of(name))}
		if last, made := inventory.Components[name]; made && last.LastSuccess > 0 {
			component.LastSuccess = time.UnixMilli(int64(last.LastSuccess * 1000))
			component.SizeBytes, component.WrittenBytes, component.BaselineBytes = last.Size, last.Written, last.Baseline
		}
		state.Components = append(state.Components, component)
	}
	return state
}

// addRecord takes over what the last run of another job on the backups says.
func (s *BackupState) addRecord(record job.Record) {
	switch record.Job {
	case "verify":
		s.Verify.addRecord(&record)
	case "drill":
		s.Drill.addRecord(&record)
	case "copy":
		if record.LastSuccess != nil {
			s.Offsite.LastSuccess = *record.LastSuccess
		}
	}
}

func (r *Rehearsal) addRecord(record *job.Record) {
	if record.LastSuccess != nil {
		r.LastSuccess = *record.LastSuccess
	}
	if good := record.State.Good(); record.State != job.Running {
		r.LastResult = &good
		if duration, ended := record.Duration(); good && ended {
			r.LastDuration = duration
		}
	}
}
