package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

// Names of format 1. Every file but manifest.json and RESTORE.txt is compressed with zstd.
const (
	manifestName = "manifest.json"
	restoreName  = "RESTORE.txt"
	databaseName = "database.sql.zst"
	listName     = "filedir.list.zst"
	poolName     = "pool/filedir"
	acceptedName = "accepted.json"
	verifyName   = "verify.json"        // how the last verification went
	damagedName  = "damaged.list"       // content files that backups name and the pool lacks, as in filedir.list.zst
	quarantine   = "quarantine"         // content files that are not what their names say
	stagingName  = store.Prefix + "new" // the backup that is being made
	blobsName    = store.Prefix + "blobs"
	leavingName  = store.Prefix + "gone-"
)

// SiteDir is where the backups of a site lie.
func SiteDir(dir, site string) string { return filepath.Join(dir, site) }

// LockPath is the lock that a job holds beside the site's own while it changes the backups of a site:
// two hosts, or two configurations, may share one backup directory.
func LockPath(dir, site string) string { return filepath.Join(dir, site, ".lock") }

// isID says whether name can be that of a backup.
func isID(name string) bool {
	_, err := time.Parse(job.IDLayout, name)
	return err == nil
}

// freeID is the ID of a backup that begins now; when that second is taken it waits for the next one.
func freeID(ctx context.Context, s store.Local, clock func() time.Time, wait func(context.Context, time.Duration) error) (string, time.Time, error) {
	for {
		now := clock().UTC().Truncate(time.Second)
		id := now.Format(job.IDLayout)
		_, err := os.Lstat(s.Path(id))
		if errors.Is(err, os.ErrNotExist) {
			return id, now, nil
		}
		if err != nil {
			return "", now, fmt.Errorf("look for backup %s: %w", id, err)
		}
		if err := wait(ctx, now.Add(time.Second).Sub(clock())); err != nil {
			return "", now, err
		}
	}
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// clean removes what a run that was killed has left behind. The lock is held, so nobody is at work on it.
func clean(s store.Local) error {
	for _, dir := range []string{".", "pool"} {
		entries, err := os.ReadDir(s.Path(dir))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("clean the backup directory: %w", err)
		}
		for _, entry := range entries {
			if !isRemains(entry.Name()) {
				continue
			}
			if err := s.RemoveTree(path.Join(dir, entry.Name())); err != nil {
				return fmt.Errorf("clean the backup directory: %w", err)
			}
		}
	}
	return nil
}
