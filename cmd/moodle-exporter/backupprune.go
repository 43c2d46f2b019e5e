package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/alecthomas/kingpin/v2"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

func backupPruneCommand(app *kingpin.Application) (string, action) {
	command := backupClause(app).Command("prune", "Remove the backups that no rule keeps, and what only they needed. A backup does so itself when it is made.")
	site := command.Flag("site", "Only backups of this site.").String()
	dry := command.Flag("dry-run", "Say what would be removed and why the rest stays, and do nothing.").Bool()
	from := fromFlag(command)
	with := access{}
	command.Flag("access-key-file", "With --from=offsite: file with an access key that may delete. The host's own key should not.").StringVar(&with.accessKey)
	command.Flag("secret-key-file", "With --from=offsite: file with the secret key that belongs to it.").StringVar(&with.secretKey)
	return command.FullCommand(), func(ctx context.Context, e *environment) error {
		settings, err := e.config()
		if err != nil {
			return err
		}
		if *from == fromOffsite {
			return e.pruneCopies(ctx, settings, *site, *dry, with)
		}
		return e.prune(ctx, settings, *site, *dry)
	}
}

// prune removes what no rule keeps of the backups of every site, or of the named one.
func (e *environment) prune(ctx context.Context, settings *config.Config, site string, dry bool) error {
	return e.eachSiteWithBackup(ctx, settings, site, "all", func(site, _ string) error {
		options := backup.PruneOptions{Dir: settings.Backup.Dir, Site: site, Keep: settings.Backup.Keep, DryRun: dry, Clock: e.clock}
		if dry {
			pruning, err := backup.Prune(ctx, options, nil)
			if err != nil {
				return err
			}
			return sayPruning(e.stdout, site, pruning, "would be removed")
		}
		return e.onBackups(ctx, settings, job.Spec{Job: "prune", Site: site}, func(ctx context.Context, run *job.Run) (func() error, error) {
			options.Logger = run.Logger
			pruning, err := backup.Prune(ctx, options, run)
			return func() error { return sayPruning(e.stdout, site, pruning, "removed") }, err
		})
	})
}

// sayPruning gives the reason for every backup.
func sayPruning(to io.Writer, site string, pruning *backup.Pruning, gone string) error {
	table := tabwriter.NewWriter(to, 0, 8, 2, ' ', 0)
	var failures []error
	line := func(format string, values ...any) {
		_, err := fmt.Fprintf(table, format+"\n", values...)
		failures = append(failures, err)
	}
	for _, decision := range pruning.Decisions {
		if decision.Keep() {
			line("%s\t%s\tstays\t%s", site, decision.ID, strings.Join(decision.Reasons, ", "))
		} else {
			line("%s\t%s\t%s\tno rule keeps it", site, decision.ID, gone)
		}
	}
	line("%s\tcontent files that no backup needs\t%s\t%d, %s", site, gone, pruning.Blobs, backup.Bytes(pruning.Bytes))
	return errors.Join(append(failures, table.Flush())...)
}
