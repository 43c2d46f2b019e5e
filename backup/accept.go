package backup

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

// Acceptance is how many of a site's files are missing, and how many of those somebody has accepted.
type Acceptance struct {
	ID       string // of the newest backup that can tell
	Missing  int64
	Accepted int64
}

// FindMissing asks the newest good backup with files and database how many files the site has lost.
// ErrNoSuchBackup if there is none.
func FindMissing(ctx context.Context, dir, site string) (Acceptance, error) {
	s := store.NewDirectory(SiteDir(dir, site))
	backups, err := list(ctx, s)
	if err != nil {
		return Acceptance{}, err
	}
	for _, b := range slices.Backward(backups) {
		if !b.Good() || !b.Manifest.audited() {
			continue
		}
		before, err := accepted(ctx, s)
		return Acceptance{b.ID, b.Manifest.Filedir.Missing, before}, err
	}
	return Acceptance{}, fmt.Errorf("%w: none of site %s has both files and database", ErrNoSuchBackup, site)
}

// audited says whether the files that the database names were looked for.
func (m *Manifest) audited() bool { return m.Has(Files) && m.Has(Database) && m.Filedir != nil }

// AcceptMissing writes down that so many missing files are no news: backups that miss no more of them end
// well. Nothing else changes.
func AcceptMissing(ctx context.Context, dir, site string, a Acceptance, now time.Time) error {
	err := saveJSON(ctx, store.NewDirectory(SiteDir(dir, site)), acceptedName, acceptedMissing{a.Missing, a.ID, now.UTC().Truncate(time.Second)})
	if err != nil {
		return fmt.Errorf("accept the missing files of %s: %w", site, err)
	}
	return nil
}

// acceptedMissing is accepted.json.
type acceptedMissing struct {
	Missing int64     `json:"missing"`
	Backup  string    `json:"backup"` // that told the number
	At      time.Time `json:"at"`
}
