package main

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"

	"github.com/alecthomas/kingpin/v2"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
	"github.com/moodle-exporter/moodle-exporter/internal/maintenance"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/internal/service"
)

func maintainCommand(app *kingpin.Application) (string, action) {
	command := app.Command("maintain", "Do the housekeeping that is due, each task once, and end updates that were killed. This is what the hourly timer calls.")
	now := command.Flag("now", "Do the tasks of this schedule at once, due or not and outside the window too.").Enum("daily", "weekly", "monthly")
	dry := command.Flag("dry-run", "Say when each task is due and what it would do now, and do nothing.").Bool()
	// For units and cron lines: which of the tasks that have a timer of their own does this timer leave to maintain?
	leaves := command.Flag("leaves", "End with 12 if a schedule of maintain names this task, else with 0.").Hidden().Enum("backup", "verify", "drill")
	return command.FullCommand(), func(ctx context.Context, e *environment) error {
		settings, err := e.config()
		if err != nil {
			return err
		}
		if *leaves != "" {
			if _, named := settings.Maintenance.Names(*leaves); named {
				return exitStatus(exitRefused)
			}
			return nil
		}
		known := e.knownSites(settings)
		options := maintenance.Options{
			Settings: settings.Maintenance, Tasks: e.maintenanceTasks(settings, known), Zone: e.clock().Location(), Runner: e.runner(), Now: *now,
			Sites: func(ctx context.Context) []string { return siteNames(known(ctx)) },
		}
		if *dry {
			return maintenance.Preview(ctx, options, e.stdout)
		}
		options.Runner.Watch = e.watch(context.WithoutCancel(ctx), newBar(io.Discard, ""))
		return errors.Join(e.endBroken(ctx, settings), maintenance.Run(ctx, options))
	}
}

// maintenanceTasks are all that a schedule may name, in the order in which they run.
func (e *environment) maintenanceTasks(settings *config.Config, known siteSource) []maintenance.Task {
	m := settings.Maintenance
	trees := maintenance.Trees{Protect: e.protected(settings, known), ProcRoot: procRoot, Clock: e.clock}
	bus := service.NewBus(e.bus)
	return []maintenance.Task{
		maintenance.NewTmp(m.Tmp, trees),
		maintenance.NewLogs(m.Logs, trees),
		maintenance.NewPackageLists(m.Packages, e.clock),
		e.commandTask("backup", func(ctx context.Context, e *environment, dry bool) error {
			return e.backUpAll(ctx, settings, "", nil, dry)
		}),
		maintenance.NewPackageUpgrades(m.Packages, maintenance.HostReboot, e.clock),
		maintenance.NewServiceRestarts(m.Restart, bus),
		inWindow(e.commandTask("moodle-update", func(ctx context.Context, e *environment, dry bool) error { return e.updateAll(ctx, settings, dry) })),
		maintenance.NewCertbotRenew(servedCertificates(settings, known, bus)),
		e.commandTask("prune", func(ctx context.Context, e *environment, dry bool) error {
			return e.prune(ctx, settings, "", dry)
		}),
		e.commandTask("verify", func(ctx context.Context, e *environment, dry bool) error {
			if dry {
				_, err := io.WriteString(e.stdout, "would verify all backups of all sites, reading the share whose turn it is\n")
				return err
			}
			return e.verify(ctx, settings, "", "all", false)
		}),
		e.commandTask("drill", func(ctx context.Context, e *environment, dry bool) error {
			if dry {
				_, err := io.WriteString(e.stdout, "would rehearse the restore of the newest backup of all sites\n")
				return err
			}
			from := fromLocal
			return e.drillAll(ctx, settings, &restoreFlags{id: backup.Latest, from: &from})
		}),
	}
}

// commandTask is a task that a command does as well, as jobs of its own below this one. What the command tells people
// stays untold: it is in the logs of its jobs.
func (e *environment) commandTask(name string, do func(ctx context.Context, e *environment, dry bool) error) maintenance.Task {
	return maintenance.Task{
		Name: name,
		Run: func(ctx context.Context, _ *job.Run) error {
			silent := *e
			silent.stdout = io.Discard
			return do(ctx, &silent, false)
		},
		Preview: func(ctx context.Context, to io.Writer) error {
			told := *e
			told.stdout = to
			return do(ctx, &told, true)
		},
	}
}

// inWindow has a task wait for the window: the users of the site notice it.
func inWindow(task maintenance.Task) maintenance.Task {
	task.Disruptive = true
	return task
}

// protected are the directories that no cleaning may enter, wherever they lie.
func (e *environment) protected(settings *config.Config, known siteSource) func(context.Context) []string {
	return func(ctx context.Context) []string {
		dirs := []string{e.stateDir, settings.Backup.Dir}
		for _, site := range known(ctx) {
			c := site.Config
			dirs = append(dirs, site.Dir, c.DataRoot, c.TempDir, c.CacheDir, c.LocalCacheDir, c.BackupTempDir, c.FileDir, c.TrashDir, c.SecretDataRoot)
		}
		return dirs
	}
}

// siteSource tells the sites of this host.
type siteSource func(context.Context) []*moodle.Site

// knownSites looks for the sites when they are first wanted: most calls of maintain have nothing to do, and need none. What
// is wrong with sites that cannot be read is for their own jobs to say.
func (e *environment) knownSites(settings *config.Config) siteSource {
	var once sync.Once
	var found []*moodle.Site
	return func(ctx context.Context) []*moodle.Site {
		once.Do(func() {
			var err error
			if found, err = e.findSites(ctx, settings, ""); err != nil {
				e.logger.Info("not all sites are known", "err", err)
			}
		})
		return found
	}
}

func siteNames(sites []*moodle.Site) (list []string) {
	for _, site := range sites {
		list = append(list, site.Name)
	}
	return list
}

func servedCertificates(settings *config.Config, known siteSource, bus *service.Bus) maintenance.Certificates {
	files := settings.Certificates.Files
	if len(files) == 0 {
		files = []string{maintenance.LetsEncrypt}
	}
	return maintenance.Certificates{
		Files: files, Bus: bus, Dial: (&net.Dialer{}).DialContext,
		Endpoints: func(ctx context.Context) []string {
			if configured := settings.Certificates.Endpoints; len(configured) > 0 {
				return configured
			}
			return endpointsOf(known(ctx))
		},
	}
}
