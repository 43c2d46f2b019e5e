package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/internal/update"
)

// sayOffered lists the versions of plugins that Moodle has heard of.
func (e *environment) sayOffered(ctx context.Context, site *moodle.Site, wanted []update.Plugin) error {
	offered, err := update.Offered(ctx, site)
	if err != nil {
		return err
	}
	var errs []error
	for _, plugin := range wanted {
		there := false
		for _, one := range offered {
			if one.Component == plugin.Component {
				there = true
				_, err := fmt.Fprintf(e.stdout, "%s %s %s\n", one.Component, one.Version, one.Release)
				errs = append(errs, err)
			}
		}
		if !there {
			_, err := fmt.Fprintf(e.stdout, "%s: Moodle has heard of no newer version. It asks once a day, where updates are not switched off.\n", plugin.Component)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// sayUpdated is what a person wants to know now.
func (e *environment) sayUpdated(result *update.Result) error {
	if !terminal(e.stdout) {
		return nil
	}
	if result.Plan.UpToDate {
		return result.Plan.Text(e.stdout)
	}
	var errs []error
	say := func(format string, values ...any) {
		_, err := fmt.Fprintf(e.stdout, format+"\n", values...)
		errs = append(errs, err)
	}
	say("Site %s is updated to Moodle %s. It was closed for %s.", result.Plan.Site, result.Plan.To.Release, result.Closed.Round(time.Second/10))
	for _, check := range result.NotMade {
		say("Not checked: %v.", check)
	}
	for _, note := range result.Notes {
		say("Note: %s.", note)
	}
	return errors.Join(errs...)
}
