package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
	"github.com/moodle-exporter/moodle-exporter/internal/nginx"
	"github.com/moodle-exporter/moodle-exporter/internal/phpfpm"
	"github.com/moodle-exporter/moodle-exporter/internal/service"
	"github.com/moodle-exporter/moodle-exporter/internal/update"
)

// updateFlags are those of one update.
type updateFlags struct {
	site, to        string
	plugins         []string
	check, dry, yes bool
}

func updateCommand(app *kingpin.Application) (string, action) {
	command := app.Command("update", "Bring a site to newer Moodle code and its database with it. It is backed up before, and code and database go back by themselves if anything fails.")
	f := &updateFlags{}
	command.Flag("site", "The site; needed if there are several.").StringVar(&f.site)
	command.Flag("to", "Branch or tag of the git repository, or a release archive (.tgz, .zip). Default: what the configuration and the checkout say.").StringVar(&f.to)
	command.Flag("plugin", "COMPONENT=FILE.zip puts that plugin into the code; COMPONENT alone says which versions Moodle has heard of. May be given several times.").StringsVar(&f.plugins)
	command.Flag("check", "Say what is available and whether the update would pass: ends with 0 if so or if there is nothing to do, with 12 if something stands in the way.").BoolVar(&f.check)
	command.Flag("dry-run", "Say what would be done, and do nothing. Ends as --check does.").BoolVar(&f.dry)
	command.Flag("yes", "Do not ask, and go on in spite of what the plan marks with --yes.").BoolVar(&f.yes)
	return command.FullCommand(), func(ctx context.Context, e *environment) error {
		settings, err := e.config()
		if err != nil {
			return err
		}
		name, err := e.siteToUpdate(ctx, settings, f)
		if err != nil {
			return err
		}
		return e.updateSite(ctx, settings, name, f)
	}
}

// siteToUpdate is the site that is meant. It need not be readable: an update of it may have been killed.
func (e *environment) siteToUpdate(ctx context.Context, settings *config.Config, f *updateFlags) (string, error) {
	if f.site != "" {
		if !config.ValidName.MatchString(f.site) {
			return "", fmt.Errorf("%q is no name of a site", f.site)
		}
		return f.site, nil
	}
	found, err := e.findSites(ctx, settings, "")
	if len(found) == 1 && err == nil {
		return found[0].Name, nil
	}
	return "", &backup.RefusedError{
		Happened: "it is not clear which site is meant: there are " + names(found), Err: err, Means: "nothing is updated by guessing", Do: "name it with --site",
	}
}

// updateSite ends an update that was broken off, and then updates, or says what an update would do.
func (e *environment) updateSite(ctx context.Context, settings *config.Config, name string, f *updateFlags) error {
	if err := e.recoverUpdate(ctx, settings, name, f); err != nil {
		return err
	}
	found, err := e.findSites(ctx, settings, name)
	if err != nil {
		return err
	}
	site := found[0]
	options, err := e.updateOptions(settings, name, site.Link, f)
	if err != nil {
		return err
	}
	options.Site = site
	for _, plugin := range options.Plugins {
		if plugin.File == "" {
			return e.sayOffered(ctx, site, options.Plugins)
		}
	}
	if f.check || f.dry {
		return e.planUpdate(ctx, options)
	}
	if !f.yes && !terminal(e.stdout) {
		return e.confirmSite(ctx, false, name, "the site "+name+" is updated") // nobody can be asked; that is no failed update
	}
	options.Confirm = func(plan *update.Plan) error {
		if terminal(e.stdout) {
			if err := plan.Text(e.stdout); err != nil {
				return err
			}
		}
		return e.confirmSite(ctx, f.yes, site.Name, "the site "+site.Name+" is closed for about "+plan.Closed.Round(time.Minute).String()+" and updated to Moodle "+plan.To.Release)
	}
	return e.runUpdate(ctx, options)
}

// updateOptions are what every part of an update needs to know but the site itself.
func (e *environment) updateOptions(settings *config.Config, name, dir string, f *updateFlags) (o update.Options, err error) {
	hostname, err := os.Hostname()
	if err != nil {
		return o, err
	}
	o = update.Options{
		Update: settings.Update, Backup: settings.Backup, To: f.to, Insist: f.yes, NginxFile: nginx.DefaultFile, PoolFiles: phpfpm.DefaultGlobs,
		StateDir: e.stateDir, Bus: service.NewBus(e.bus), Group: group(), Version: version.Version, Host: hostname, Clock: e.clock, Logger: e.logger,
	}
	for _, configured := range settings.Sites {
		if configured.Name == name || configured.Name == "" && filepath.Clean(configured.Dir) == dir {
			o.Configured = configured
		}
	}
	for _, text := range f.plugins {
		component, file, _ := strings.Cut(text, "=")
		if file != "" {
			if file, err = filepath.Abs(file); err != nil {
				return o, err
			}
		}
		o.Plugins = append(o.Plugins, update.Plugin{Component: component, File: file})
	}
	return o, nil
}

// runUpdate updates as a job.
func (e *environment) runUpdate(ctx context.Context, o update.Options) error {
	var result *update.Result
	if err := backup.MakeDir(&backup.Options{Site: o.Site, Config: o.Backup}); err != nil {
		return err
	}
	err := e.updateJob(ctx, o.Site.Name, o.Backup, func(ctx context.Context, run *job.Run) (err error) {
		o.Logger = run.Logger
		result, err = update.Update(ctx, o, run)
		return err
	})
	if err != nil || result == nil {
		return err
	}
	return e.sayUpdated(result)
}

// updateJob runs part of an update under the site's lock and that of its backups.
func (e *environment) updateJob(ctx context.Context, site string, settings config.Backup, work func(context.Context, *job.Run) error) error {
	return e.runJob(ctx, job.Spec{Job: "update", Site: site}, func(ctx context.Context, run *job.Run) error {
		if err := lockBackups(run, settings, site); err != nil {
			return err
		}
		return work(ctx, run)
	})
}
