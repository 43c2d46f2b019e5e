package main

import (
	"context"
	"fmt"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// updateAll is the task moodle-update of maintain: every site, with nobody there to insist.
func (e *environment) updateAll(ctx context.Context, settings *config.Config, dry bool) error {
	found, err := e.findSites(ctx, settings, "")
	if err != nil {
		return err
	}
	var failures sites
	for _, site := range found {
		if !site.Primary {
			continue // another host does it
		}
		if err := e.updateUnasked(ctx, settings, site, dry); err != nil {
			failures = append(failures, fmt.Errorf("update of %s: %w", site.Name, err))
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

func (e *environment) updateUnasked(ctx context.Context, settings *config.Config, site *moodle.Site, dry bool) error {
	f := &updateFlags{site: site.Name, dry: dry}
	if err := e.recoverUpdate(ctx, settings, site.Name, f); err != nil {
		return err
	}
	options, err := e.updateOptions(settings, site.Name, site.Link, f)
	if err != nil {
		return err
	}
	options.Site = site
	if dry {
		return e.planUpdate(ctx, options)
	}
	return e.runUpdate(ctx, options)
}
