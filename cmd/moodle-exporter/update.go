package main

import (
	"context"
	"errors"
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
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
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

// planUpdate says what an update would do. It is no job: a site that cannot be updated today has not failed.
func (e *environment) planUpdate(ctx context.Context, o update.Options) error {
	lock, err := job.Acquire(filepath.Join(e.locks(), o.Site.Name+".lock"))
	if err != nil {
		return err
	}
	defer lock.Release()
	plan, err := update.MakePlan(ctx, o, &look{id: e.clock().UTC().Format(job.IDLayout), lock: lock})
	if err != nil {
		return err
	}
	if err := plan.Text(e.stdout); err != nil || plan.UpToDate {
		return err
	}
	if plan.Refusal(o.Insist) != nil {
		return exitStatus(exitRefused) // the plan has said why
	}
	return nil
}

// look is a run that leaves no record.
type look struct {
	id   string
	lock *job.Lock
}

func (l *look) ID() string { return l.id }
func (*look) Step(ctx context.Context, _ string, part func(context.Context) error) error {
	return part(ctx)
}
func (*look) SetTotal(int64)          {}
func (*look) Add(int64)               {}
func (*look) ChildStarted(int)        {}
func (*look) Announce(time.Time)      {}
func (l *look) LockFiles() []*os.File { return l.lock.Files() }

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

// recoverUpdate ends an update that was broken off, before anything else is begun. A site that was left half way is ended
// without asking where nobody sits at a terminal: nothing is gained by leaving it closed.
func (e *environment) recoverUpdate(ctx context.Context, settings *config.Config, name string, f *updateFlags) error {
	journal, err := update.Unfinished(e.stateDir, name)
	if err != nil || journal == nil {
		return err
	}
	_, _ = fmt.Fprintf(e.stderr, "An update of site %s, begun %s, was broken off %s. It is ended first: finished if the updated site is open and works, else undone.\n",
		name, journal.Started.Local().Format(time.DateTime), journal.Phase.Words())
	if f.dry || f.check {
		return exitStatus(exitRefused)
	}
	options, err := e.updateOptions(settings, name, journal.Code, f)
	if err != nil {
		return err
	}
	finished := false
	err = e.updateJob(ctx, name, settings.Backup, func(ctx context.Context, run *job.Run) (err error) {
		options.Logger = run.Logger
		finished, err = update.Recover(ctx, options, journal, run)
		return err
	})
	if err != nil {
		return err
	}
	end := "was undone: the site is as it was before it"
	if finished {
		end = "was finished: the updated site is open"
	}
	_, err = fmt.Fprintf(e.stdout, "The update that was broken off %s.\n", end)
	return err
}

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
