package backup

import (
	"context"
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
)

// creation is one backup in the making.
type creation struct {
	Options
	run Run

	session  *session
	client   client
	named    *references
	pool     *pool
	delta    *delta // while it is at work
	site     *siteList
	previous *Manifest
	// lacking are the content files that the plan found to be new: all of them, or the first many.
	lacking    []blob
	lackingAll bool
	replaces   bool   // some of them are in the pool with another size
	held       *usage // of the pool before this backup; nil if that is not known
	same       bool
	total      int64
	manifest   *Manifest
	warnings   []string
}

// Create makes one backup. It returns its manifest, and with it a *MissingError if the backup is good but
// more of the site's files are missing than were accepted, or an *IncompleteError if it has all components
// and yet not all of the site's content. A *RefusedError means that nothing was begun.
// The caller holds the site's lock and LockPath's.
func Create(ctx context.Context, o Options, run Run) (*Manifest, error) {
	if err := o.setDefaults(); err != nil {
		return nil, err
	}
	c := &creation{Options: o, run: run}
	defer c.close()
	if err := c.make(ctx); err != nil {
		if c.manifest != nil {
			err = errors.Join(err, clean(c.Store))
		}
		return nil, explainFull(err, c.Config.Dir)
	}
	if err := c.heal(ctx); err != nil {
		c.Logger.Error("damage in earlier backups could not be mended; the new backup is not affected", "err", err)
	}
	err := c.step(ctx, "prune", c.prune)
	if err != nil {
		// The backup stands; that old ones stay on is told, but takes nothing from it.
		c.Logger.Error("old backups could not be removed; the new backup is not affected", "err", err)
	}
	return c.manifest, c.shortfall()
}

// shortfall is what a backup lacks that is good as far as it goes.
func (c *creation) shortfall() error {
	var lacks []error
	if f := c.manifest.Filedir; f != nil && f.Missing > f.Accepted {
		lacks = append(lacks, &MissingError{Missing: f.Missing, Accepted: f.Accepted})
	}
	if c.manifest.full() && c.manifest.Incomplete != "" {
		lacks = append(lacks, &IncompleteError{ID: c.manifest.ID, Reason: c.manifest.Incomplete})
	}
	return errors.Join(lacks...)
}

// make does everything up to the moment at which the backup appears.
func (c *creation) make(ctx context.Context) error {
	if err := c.step(ctx, "preflight", c.prepare); err != nil {
		return err
	}
	c.run.SetTotal(c.total)
	defer c.endDelta()
	steps := []struct {
		name  string
		wants []string // any of these components
		do    func(context.Context) error
	}{
		{"pool", []string{Files}, c.copyFiles},
		{"dump", []string{Database}, c.dump},
		{"delta", []string{Files}, c.copyDelta},
		{"archives", []string{Files, Code, Config, Logs, System}, c.archives},
		{"audit", []string{Files}, c.audit},
		{"describe", Components, c.describe},
		{"sync", Components, func(context.Context) error { return c.Store.Sync() }},
		{"manifest", Components, c.publish},
	}
	for _, step := range steps {
		wanted := false
		for _, component := range step.wants {
			wanted = wanted || c.has(component)
		}
		if !wanted {
			continue
		}
		if err := c.step(ctx, step.name, step.do); err != nil {
			return err
		}
	}
	return nil
}

func (c *creation) step(ctx context.Context, name string, do func(context.Context) error) error {
	started := c.Clock()
	err := c.run.Step(ctx, name, do)
	if c.manifest != nil {
		c.manifest.Steps = append(c.manifest.Steps, StepTime{name, c.Clock().Sub(started).Seconds()})
	}
	if err == nil {
		c.At(name)
		err = ctx.Err()
	}
	return err
}

// prepare goes through the preflight and makes room for the backup.
func (c *creation) prepare(ctx context.Context) error {
	if c.Store == nil {
		c.Store = store.NewDirectory(SiteDir(c.Config.Dir, c.Site.Name))
	}
	if err := c.checkPlaces(); err != nil {
		return err
	}
	// The remains of a run that was killed go first: they may take the room that this one needs.
	if err := clean(c.Store); err != nil {
		return err
	}
	plan, err := c.preflight(ctx)
	if err != nil {
		return err
	}
	for _, warning := range plan.Warnings {
		// How this host is set up stands in manifest, metrics and status; cron need not mail it every week.
		c.Logger.Info(warning)
	}
	if err := makeDir(c.Store); err != nil {
		return err
	}
	id, started, err := freeID(ctx, c.Store, c.Clock, c.Wait)
	if err != nil {
		return err
	}
	if err := c.Store.MakeDir(stagingName); err != nil {
		return fmt.Errorf("make the staging directory: %w", err)
	}
	c.manifest = &Manifest{
		Format: Format, ID: id, Site: c.Site.Name, Host: c.Host, Tool: c.Version, Started: started,
		Components: c.ordered(), SameFilesystem: c.same, Warnings: c.warnings,
	}
	return nil
}

// ordered are the wanted components in the usual order, once each.
func (c *creation) ordered() (components []string) {
	for _, component := range Components {
		if c.has(component) {
			components = append(components, component)
		}
	}
	return components
}

// findPrevious looks for the newest good backup, of which unchanged archives are shared. It returns the ID of
// the newest of all.
func (c *creation) findPrevious(ctx context.Context) (newest string, err error) {
	var s store.Store = store.NewDirectory(SiteDir(c.Config.Dir, c.Site.Name))
	if c.Store != nil {
		s = c.Store
	}
	backups, err := list(ctx, s)
	if err != nil {
		return "", err
	}
	for _, listed := range backups {
		newest = listed.ID
		if listed.Good() && (c.previous == nil || listed.Manifest.full() || !c.previous.full()) {
			c.previous = listed.Manifest
		}
	}
	return newest, nil
}

func (c *creation) previousFile(name string) (File, bool) {
	if c.previous == nil {
		return File{}, false
	}
	return c.previous.File(name)
}

func (c *creation) warn(format string, values ...any) {
	c.Logger.Warn(c.note(format, values...))
}

// note is a warning that somebody knows of already: it stands in the manifest alone.
func (c *creation) note(format string, values ...any) string {
	text := fmt.Sprintf(format, values...)
	c.manifest.Warnings = append(c.manifest.Warnings, text)
	return text
}

// publish writes the manifest and gives the finished backup its name.
func (c *creation) publish(ctx context.Context) error {
	c.manifest.Ended = c.Clock().UTC().Truncate(time.Millisecond)
	if err := writeManifest(ctx, c.Store, stagingName, c.manifest); err != nil {
		return fmt.Errorf("write manifest: %w", err)
	}
	c.At("manifest written")
	if err := c.Store.Rename(stagingName, c.manifest.ID); err != nil {
		return fmt.Errorf("publish backup %s: %w", c.manifest.ID, err)
	}
	return c.Store.RemoveTree(path.Join("pool", blobsName))
}

func (c *creation) close() {
	if c.session != nil {
		_ = c.session.Close()
	}
	if c.named != nil {
		c.named.close()
	}
	if c.pool != nil {
		c.pool.close()
	}
	if c.site != nil {
		c.site.close()
	}
}
