package collector

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	backupEnabled      = backupDesc("enabled", "1 if this host makes backups of the site.")
	backupLastSuccess  = backupDesc("last_success_timestamp_seconds", "When the newest good backup of the component was made, as Unix time.", "component")
	backupAge          = backupDesc("age_seconds", "Age of the newest good backup of the component.", "component")
	backupMaxAge       = backupDesc("max_age_seconds", "Greatest age that the configuration allows.", "component")
	backupSize         = backupDesc("last_size_bytes", "What the newest good backup of the component restores to.", "component")
	backupWritten      = backupDesc("last_written_bytes", "What the newest good backup of the component newly stored.", "component")
	backupBaseline     = backupDesc("baseline_size_bytes", "Median size of the last seven good backups.", "component")
	backupBaselineTime = backupDesc("baseline_duration_seconds", "Median duration of the last seven good backups.")
	backupCount        = desc("", "backups", "Backups of the site that are there.", "site")
	backupStored       = backupDesc("stored_bytes", "Space that all backups of the site take together.")
	backupMissing      = backupDesc("missing_files", "Files that the site had already lost when the newest backup was made.")
	backupAccepted     = backupDesc("missing_files_accepted", "Lost files that the administrator has accepted.")
	backupDamaged      = backupDesc("damaged_files", "Files in the backups that the last verification found damaged.")
	backupSameDisk     = backupDesc("same_filesystem", "1 if the backups lie on the filesystem that they protect.")

	verifySuccess = backupDesc("last_verify_success_timestamp_seconds", "When a backup was last found intact, as Unix time.")
	verifyResult  = backupDesc("last_verify_result", "1 if the last verification found everything intact.")
	verifyMaxAge  = backupDesc("verify_max_age_seconds", "Greatest time between verifications that the configuration allows.")

	drillSuccess  = drillDesc("last_success_timestamp_seconds", "When a restore was last rehearsed with success, as Unix time.")
	drillResult   = drillDesc("last_result", "1 if the last rehearsal of a restore succeeded.")
	drillDuration = drillDesc("last_duration_seconds", "How long the last successful rehearsal took: the time that a recovery needs.")
	drillMaxAge   = drillDesc("max_age_seconds", "Greatest time between rehearsals that the configuration allows.")

	offsiteEnabled = backupDesc("offsite_enabled", "1 if backups are copied to another place.")
	offsiteSuccess = backupDesc("offsite_last_success_timestamp_seconds", "When a backup was last copied completely, as Unix time.")
	offsitePending = backupDesc("offsite_pending_bytes", "What still has to be copied.")
)

func backupDesc(name, help string, more ...string) *prometheus.Desc {
	return desc("backup", name, help, append([]string{"site"}, more...)...)
}

func drillDesc(name, help string) *prometheus.Desc { return desc("restore_drill", name, help, "site") }

// BackupState is what there is of backups of one site. Nil and zero times mean that it never happened, or
// that it cannot be told: the metric is absent.
type BackupState struct {
	Site       string
	Enabled    bool
	Components []BackupComponent

	Backups          int
	StoredBytes      int64
	SameFilesystem   *bool
	BaselineDuration time.Duration // 0 without a good backup
	MissingFiles     *int64        // of the newest backup
	AcceptedMissing  int64
	DamagedFiles     *int64 // since the last verification

	Verify, Drill Rehearsal
	Offsite       Offsite
}

// BackupComponent is one part of a backup: database, files, code, config, logs, system, or all of the first four.
type BackupComponent struct {
	Name          string
	MaxAge        time.Duration // 0: no limit
	LastSuccess   time.Time
	SizeBytes     int64 // these three mean nothing without LastSuccess
	WrittenBytes  int64
	BaselineBytes int64
}

// Rehearsal is how a verification or a restore drill last went.
type Rehearsal struct {
	LastSuccess  time.Time
	LastResult   *bool
	LastDuration time.Duration // of the last success
	MaxAge       time.Duration // 0: no limit
}

// Offsite is the state of the copy in another place.
type Offsite struct {
	Enabled      bool
	LastSuccess  time.Time
	PendingBytes *int64
}

// Backup shows the state of the backups.
type Backup struct {
	read  func(context.Context) ([]BackupState, error)
	clock func() time.Time
}

// NewBackup shows what read returns, which may come with an error about a part of it.
func NewBackup(read func(context.Context) ([]BackupState, error), clock func() time.Time) *Backup {
	return &Backup{read: read, clock: clock}
}

// Name implements Collector.
func (*Backup) Name() string { return "backup" }

// Update implements Collector.
func (b *Backup) Update(ctx context.Context, emit Emit) error {
	states, err := b.read(ctx)
	for i := range states {
		emitBackup(emit, &states[i], b.clock())
	}
	return err
}

func emitBackup(emit Emit, s *BackupState, now time.Time) {
	site := s.Site
	emit.gauge(backupEnabled, flag(s.Enabled), site)
	emit.gauge(backupCount, float64(s.Backups), site)
	emit.gauge(backupStored, float64(s.StoredBytes), site)
	emit.gauge(backupAccepted, float64(s.AcceptedMissing), site)
	emit.count(backupMissing, s.MissingFiles, site)
	emit.count(backupDamaged, s.DamagedFiles, site)
	emit.answer(backupSameDisk, s.SameFilesystem, site)
	emit.length(backupBaselineTime, s.BaselineDuration, site)
	for _, component := range s.Components {
		emitComponent(emit, site, &component, now)
	}
	emit.when(verifySuccess, s.Verify.LastSuccess, site)
	emit.answer(verifyResult, s.Verify.LastResult, site)
	emit.length(verifyMaxAge, s.Verify.MaxAge, site)

	emit.when(drillSuccess, s.Drill.LastSuccess, site)
	emit.answer(drillResult, s.Drill.LastResult, site)
	emit.length(drillDuration, s.Drill.LastDuration, site)
	emit.length(drillMaxAge, s.Drill.MaxAge, site)

	emit.gauge(offsiteEnabled, flag(s.Offsite.Enabled), site)
	emit.when(offsiteSuccess, s.Offsite.LastSuccess, site)
	emit.count(offsitePending, s.Offsite.PendingBytes, site)
}

func emitComponent(emit Emit, site string, c *BackupComponent, now time.Time) {
	emit.length(backupMaxAge, c.MaxAge, site, c.Name)
	if c.LastSuccess.IsZero() {
		return
	}
	emit.when(backupLastSuccess, c.LastSuccess, site, c.Name)
	emit.gauge(backupAge, max(0, now.Sub(c.LastSuccess).Seconds()), site, c.Name)
	emit.gauge(backupSize, float64(c.SizeBytes), site, c.Name)
	emit.gauge(backupWritten, float64(c.WrittenBytes), site, c.Name)
	emit.gauge(backupBaseline, float64(c.BaselineBytes), site, c.Name)
}

// when, length, answer and count emit nothing for what has not happened.
func (emit Emit) when(d *prometheus.Desc, at time.Time, labels ...string) {
	if at.Unix() > 0 {
		emit.gauge(d, epochSeconds(at), labels...)
	}
}

func (emit Emit) length(d *prometheus.Desc, length time.Duration, labels ...string) {
	if length > 0 {
		emit.gauge(d, length.Seconds(), labels...)
	}
}

func (emit Emit) answer(d *prometheus.Desc, yes *bool, labels ...string) {
	if yes != nil {
		emit.gauge(d, flag(*yes), labels...)
	}
}

func (emit Emit) count(d *prometheus.Desc, number *int64, labels ...string) {
	if number != nil {
		emit.gauge(d, float64(*number), labels...)
	}
}
