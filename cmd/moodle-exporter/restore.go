package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/backup/restore"
	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/internal/nginx"
	"github.com/moodle-exporter/moodle-exporter/internal/phpfpm"
	"github.com/moodle-exporter/moodle-exporter/internal/service"
)

// restoreFlags are those of one restore.
type restoreFlags struct {
	id, site, only, identity, wwwroot           string
	from                                        *string
	allowMail, trustLive, dry, yes, discardOnly bool
}

func restoreCommand(app *kingpin.Application) (string, action) {
	command := app.Command("restore", "Bring a site back from a backup. Nothing of the site is touched before its successor is complete and tried; what was there is kept until it is discarded.")
	f := &restoreFlags{}
	command.Arg("id", "ID of a backup, or latest.").Default(backup.Latest).StringVar(&f.id)
	command.Flag("site", "The site; needed if there are several.").StringVar(&f.site)
	command.Flag("only", "Only these components, separated by commas: "+strings.Join(restore.Components, ", ")+".").StringVar(&f.only)
	f.from = fromFlag(command)
	command.Flag("identity", "File with the age key that opens an encrypted backup.").StringVar(&f.identity)
	command.Flag("wwwroot", "The address that the site gets, if it is to have another one.").StringVar(&f.wwwroot)
	command.Flag("allow-mail", "Under another address, let the site send mail to its users as well.").BoolVar(&f.allowMail)
	command.Flag("trust-live", "Do not read the content files that are there already; their name and size are enough.").BoolVar(&f.trustLive)
	command.Flag("dry-run", "Say what would be done, and do nothing.").BoolVar(&f.dry)
	command.Flag("yes", "Do not ask.").BoolVar(&f.yes)
	command.Flag("discard", "Let the old site go that an earlier restore has kept.").BoolVar(&f.discardOnly)
	return command.FullCommand(), func(ctx context.Context, e *environment) error {
		settings, err := e.config()
		if err != nil {
			return err
		}
		site, err := e.siteToRestore(ctx, settings, f)
		if err != nil {
			return err
		}
		if f.discardOnly {
			return e.discard(ctx, settings, site, f)
		}
		if err := e.refuseUnfinishedUpdate(site); err != nil {
			return err
		}
		if err := e.recoverRestore(ctx, settings, site, f); err != nil {
			return err
		}
		return e.restore(ctx, settings, site, f)
	}
}

// siteToRestore is the site that is meant: there may be no more of it than its backups.
func (e *environment) siteToRestore(ctx context.Context, settings *config.Config, f *restoreFlags) (string, error) {
	if f.site != "" {
		if !config.ValidName.MatchString(f.site) {
			return "", fmt.Errorf("%q is no name of a site", f.site)
		}
		return f.site, nil
	}
	var known []string
	found, _ := e.finder().Find(ctx, settings.Sites)
	for _, site := range found {
		known = append(known, site.Name)
	}
	if *f.from == fromOffsite {
		bucket, err := e.bucket(settings, "", access{})
		if err != nil {
			return "", err
		}
		copied, err := bucket.Dirs(ctx)
		if err != nil {
			return "", fmt.Errorf("look for copies: %w", err)
		}
		known = append(known, copied...)
	}
	entries, _ := os.ReadDir(settings.Backup.Dir) // one that is not there yet knows of no site
	for _, entry := range entries {
		if entry.IsDir() {
			known = append(known, entry.Name())
		}
	}
	slices.Sort(known)
	known = slices.DeleteFunc(slices.Compact(known), func(name string) bool { return !config.ValidName.MatchString(name) })
	if len(known) == 1 {
		return known[0], nil
	}
	return "", &backup.RefusedError{
		Happened: "it is not clear which site is meant: this host knows " + cmp.Or(strings.Join(known, ", "), "none"),
		Means:    "nothing is restored by guessing", Do: "name it with --site",
	}
}

// reader opens the backup that is meant, on this host or in the bucket. One that is known to be damaged is refused.
func (e *environment) reader(ctx context.Context, settings *config.Config, site string, f *restoreFlags) (*backup.Reader, error) {
	dir := settings.Backup.Dir
	var listed backup.Listed
	var from store.Store = store.NewDirectory(backup.SiteDir(dir, site))
	var err error
	if *f.from == fromOffsite {
		place, placeErr := e.offsite(settings, site, access{identity: f.identity})
		if placeErr != nil {
			return nil, placeErr
		}
		from = place.Reading()
		listed, err = backup.ShowOffsite(ctx, dir, site, f.id, place)
	} else {
		listed, err = backup.Show(ctx, dir, site, f.id)
	}
	if err != nil {
		return nil, err
	}
	if listed.Problem != nil {
		return nil, &backup.RefusedError{
			Happened: "backup " + listed.ID + " of site " + site + " cannot be relied on", Err: listed.Problem, Means: "a site restored from it would not be whole",
			Do: "choose another one: `moodle-exporter backup list --site=" + site + " --from=" + *f.from + "` says which are good",
		}
	}
	return backup.NewReader(from, listed.Manifest), nil
}

// restore plans, asks, and restores as a job.
func (e *environment) restore(ctx context.Context, settings *config.Config, site string, f *restoreFlags) error {
	options, err := e.restoreOptions(ctx, settings, site)
	if err != nil {
		return err
	}
	if options.Reader, err = e.reader(ctx, settings, site, f); err != nil {
		return err
	}
	options.Components, options.WWWRoot = components(f.only), strings.TrimSuffix(f.wwwroot, "/")
	options.AllowMail, options.TrustLive = f.allowMail, f.trustLive
	plan, err := restore.MakePlan(ctx, options)
	if err != nil {
		return err
	}
	if f.dry || terminal(e.stdout) {
		if err := plan.Text(e.stdout); err != nil {
			return err
		}
	}
	if err := plan.Refusal(); err != nil || f.dry {
		return err
	}
	if err := e.confirmSite(ctx, f.yes, site, "the site "+site+" is replaced by its backup "+plan.Backup.ID); err != nil {
		return err
	}
	var result *restore.Result
	err = e.restoreJob(ctx, settings, site, f, func(ctx context.Context, run *job.Run) error {
		options.Logger = run.Logger
		var err error
		result, err = restore.Restore(ctx, options, run)
		return err
	})
	if result != nil && err == nil {
		return e.sayRestored(result)
	}
	return err
}

// restoreJob runs part of a restore under the site's lock and, for backups of this host, that of its backups: none of
// them may be pruned meanwhile.
func (e *environment) restoreJob(ctx context.Context, settings *config.Config, site string, f *restoreFlags, work func(context.Context, *job.Run) error) error {
	return e.runJob(ctx, job.Spec{Job: "restore", Site: site}, func(ctx context.Context, run *job.Run) error {
		if *f.from != fromOffsite {
			if err := lockBackups(run, settings.Backup, site); err != nil {
				return err
			}
		}
		return work(ctx, run)
	})
}

// restoreOptions are what every part of a restore needs to know of the host.
func (e *environment) restoreOptions(ctx context.Context, settings *config.Config, site string) (restore.Options, error) {
	options := restore.Options{
		ConfigPaths: settings.Backup.ConfigPaths, Root: "/", NginxFile: nginx.DefaultFile, StateDir: e.stateDir, BackupDir: settings.Backup.Dir, PoolFiles: phpfpm.DefaultGlobs,
		Bus: service.NewBus(e.bus), Group: group(), Version: version.Version, Clock: e.clock, Logger: e.logger,
	}
	for _, configured := range settings.Sites {
		if configured.Name == site {
			options.Configured = configured
		}
	}
	found, _ := e.finder().Find(ctx, settings.Sites)
	for _, one := range found {
		if one.Name == site {
			options.Live = one
		} else {
			options.Others = append(options.Others, one)
		}
	}
	if options.Live != nil && !options.Live.Primary {
		return options, notPrimary(options.Live)
	}
	return options, ctx.Err()
}

func notPrimary(site *moodle.Site) error {
	return &backup.RefusedError{
		Happened: "site " + site.Name + " is not restored from this host", Means: "its dataroot is shared by several web servers",
		Do: "set `primary: true` for the site in the configuration of the one host that shall do it",
	}
}

// sayRestored is what a person wants to know now.
func (e *environment) sayRestored(result *restore.Result) error {
	if !terminal(e.stdout) {
		return nil
	}
	var errs []error
	say := func(format string, values ...any) {
		_, err := fmt.Fprintf(e.stdout, format+"\n", values...)
		errs = append(errs, err)
	}
	say("Site %s is restored from backup %s. It was closed for %s.", result.Journal.Site, result.Journal.Backup, result.Closed.Round(time.Second/10))
	for _, check := range result.NotMade {
		say("Not checked: %v.", check)
	}
	for _, note := range result.Notes {
		say("Note: %s.", note)
	}
	say("What was there before is kept. When the site has proved itself: moodle-exporter restore --discard --site=%s", result.Journal.Site)
	return errors.Join(errs...)
}
