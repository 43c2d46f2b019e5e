package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"

	"filippo.io/age"
	"github.com/alecthomas/kingpin/v2"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

// The two places that backups may be read from.
const (
	fromLocal   = "local"
	fromOffsite = "offsite"
)

// fromFlag says which of the two is meant.
func fromFlag(command *kingpin.CmdClause) *string {
	return command.Flag("from", "Where the backups lie: local, on this host, or offsite, the copies in the bucket.").Default(fromLocal).Enum(fromLocal, fromOffsite)
}

// access is what opens copies beyond what the configuration names.
type access struct {
	identity             string // file with private age keys; none for contents that are only written, or not encrypted
	accessKey, secretKey string // files; those of the configuration if empty
}

func noOffsite() error {
	return &backup.RefusedError{
		Happened: "no off-site place is configured", Means: "there are no copies of the backups anywhere but on this host",
		Do: "name a bucket under backup.offsite in the configuration; `moodle-exporter config init` prints an example",
	}
}

// placeOf tells the place of a site's copies from any other; empty without one. It holds no secret.
func placeOf(settings *config.Offsite, site string) string {
	if settings == nil {
		return ""
	}
	return settings.Endpoint + "/" + path.Join(settings.Bucket, settings.Prefix, site)
}

// offsite is the place of a site's copies.
func (e *environment) offsite(settings *config.Config, site string, with access) (*backup.Offsite, error) {
	bucket, err := e.bucket(settings, site, with)
	if err != nil {
		return nil, err
	}
	var recipients []age.Recipient
	if len(settings.Backup.EncryptTo) > 0 {
		if recipients, err = store.Recipients(settings.Backup.EncryptTo); err != nil {
			return nil, err
		}
	}
	var identities []age.Identity
	if with.identity != "" {
		if identities, err = store.Identities(with.identity); err != nil {
			return nil, err
		}
	}
	return backup.NewOffsite(placeOf(settings.Backup.Offsite, site), bucket, recipients, identities), nil
}

// bucket is where the objects of a site lie, or without a site those of all.
func (e *environment) bucket(settings *config.Config, site string, with access) (*store.S3, error) {
	o := settings.Backup.Offsite
	if o == nil {
		return nil, noOffsite()
	}
	options := store.S3Options{
		Endpoint: o.Endpoint, Region: o.Region, Bucket: o.Bucket, Prefix: path.Join(o.Prefix, site), CAFile: o.CAFile, Bandwidth: int64(o.Bandwidth),
	}
	for _, key := range []struct {
		file, instead string
		into          *config.Secret
	}{{o.AccessKeyFile, with.accessKey, &options.AccessKey}, {o.SecretKeyFile, with.secretKey, &options.SecretKey}} {
		file := key.file
		if key.instead != "" {
			file = key.instead
		}
		var err error
		if *key.into, err = config.ReadSecretFile(file); err != nil {
			return nil, fmt.Errorf("key of the off-site storage: %w", err)
		}
	}
	return store.NewS3(options)
}

// eachSiteOffsite calls look for every site that has copies in the bucket, or the named one: this host may
// be a new one and know none of them.
func (e *environment) eachSiteOffsite(ctx context.Context, settings *config.Config, site string, with access, look func(site string, place *backup.Offsite) error) error {
	names := []string{site}
	if site == "" {
		bucket, err := e.bucket(settings, "", with)
		if err != nil {
			return err
		}
		if names, err = bucket.Dirs(ctx); err != nil {
			return fmt.Errorf("look for copies: %w", err)
		}
		entries, _ := os.ReadDir(settings.Backup.Dir) // one that is not there yet knows of no site
		for _, entry := range entries {
			names = append(names, entry.Name()) // of its copies nothing may be left
		}
		slices.Sort(names)
		names = slices.DeleteFunc(slices.Compact(names), func(name string) bool { return !config.ValidName.MatchString(name) })
	} else if !config.ValidName.MatchString(site) {
		return fmt.Errorf("%q is no name of a site", site)
	}
	var failures sites
	for _, name := range names {
		place, err := e.offsite(settings, name, with)
		if err == nil {
			err = look(name, place)
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	if len(failures) == 0 {
		return nil
	}
	return failures
}

// copyLock keeps out other copies of the site, not its backups: a first copy may take days.
func (e *environment) copyLock(settings *config.Config, site string) (*job.Lock, error) {
	if err := backup.MakeOffsiteDir(settings.Backup.Dir, site); err != nil {
		return nil, err
	}
	return job.Acquire(filepath.Join(e.locks(), "copy", site+".lock"), backup.CopyLockPath(settings.Backup.Dir, site))
}

// copySite brings to the bucket what it lacks of the backups of one site, and those that are made meanwhile.
func (e *environment) copySite(ctx context.Context, settings *config.Config, site string) error {
	if settings.Backup.Offsite == nil {
		return noOffsite()
	}
	if _, err := os.Stat(backup.SiteDir(settings.Backup.Dir, site)); err != nil {
		return fmt.Errorf("%w: none of site %s (%w)", backup.ErrNoSuchBackup, site, err)
	}
	lock, err := e.copyLock(settings, site)
	if err != nil {
		return err
	}
	defer lock.Release()
	for {
		err := e.onBackups(ctx, settings, job.Spec{Job: "copy", Site: site, Held: lock}, func(ctx context.Context, run *job.Run) (func() error, error) {
			place, err := e.offsite(settings, site, access{})
			if err != nil {
				return nil, err
			}
			copied, err := backup.Copy(ctx, backup.CopyOptions{
				Dir: settings.Backup.Dir, Site: site, To: place, Keep: &settings.Backup.Keep, Clock: e.clock, Logger: run.Logger,
			}, run)
			return func() error { return e.sayCopied(site, copied) }, err
		})
		if err != nil {
			return err
		}
		more, err := backup.FindToCopy(ctx, settings.Backup.Dir, site, placeOf(settings.Backup.Offsite, site))
		if err != nil || !more {
			return err
		}
	}
}

// copyNew copies after a backup. A copy that is at work already takes the new backup along.
func (e *environment) copyNew(ctx context.Context, settings *config.Config, site string) error {
	if settings.Backup.Offsite == nil {
		return nil
	}
	err := e.copySite(ctx, settings, site)
	if errors.Is(err, job.ErrLocked) {
		e.logger.Info("a copy is at work already, and takes the new backup along", "site", site)
		return nil
	}
	if err != nil {
		return fmt.Errorf("the backup of %s is made, but it is not off-site: %w", site, err)
	}
	return nil
}

// sayCopied is one line for a person.
func (e *environment) sayCopied(site string, c *backup.Copied) error {
	if !terminal(e.stdout) {
		return nil
	}
	_, err := fmt.Fprintf(e.stdout, "Copied %d backups of %s (%d objects, %s). All %d good backups of this host are off-site.\n",
		len(c.Backups), site, c.Objects, backup.Bytes(c.Bytes), c.Whole)
	return err
}
