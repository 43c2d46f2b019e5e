package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/alecthomas/kingpin/v2"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
)

func acceptMissingCommand(app *kingpin.Application) (string, action) {
	command := backupClause(app).Command("accept-missing", "Accept the loss of the files that a site has lost: its backups then end well, until one more is missing.")
	site := command.Flag("site", "Only this site.").String()
	yes := command.Flag("yes", "Do not ask.").Bool()
	return command.FullCommand(), func(ctx context.Context, e *environment) error {
		settings, err := e.config()
		if err != nil {
			return err
		}
		return e.eachSiteWithBackup(ctx, settings, *site, "all", func(site, _ string) error {
			return e.acceptMissing(ctx, settings, site, *yes)
		})
	}
}

func (e *environment) acceptMissing(ctx context.Context, settings *config.Config, site string, yes bool) error {
	found, err := backup.FindMissing(ctx, settings.Backup.Dir, site)
	if err != nil {
		return err
	}
	if found.Missing == found.Accepted {
		_, err := fmt.Fprintf(e.stdout, "%s: nothing to accept: %d files are missing, as accepted (backup %s).\n", site, found.Missing, found.ID)
		return err
	}
	if _, err := fmt.Fprintf(e.stdout, "%s: the database names %d files that the site no longer has (backup %s); %d are accepted so far.\n"+
		"Users cannot open them. To accept them brings none back: it means that backups which miss up to %d files end well, and that only more raise an alert.\n",
		site, found.Missing, found.ID, found.Accepted, found.Missing); err != nil {
		return err
	}
	if !yes {
		if err := e.confirm("Accept"); err != nil {
			return err
		}
	}
	if err := backup.AcceptMissing(ctx, settings.Backup.Dir, site, found, e.clock()); err != nil {
		return err
	}
	e.refreshBackups(ctx, settings, site)
	_, err = fmt.Fprintf(e.stdout, "%s: %d missing files are accepted.\n", site, found.Missing)
	return err
}

// confirm asks on a terminal. Where nobody can answer, the answer is no.
func (e *environment) confirm(what string) error {
	refusal := &backup.RefusedError{Happened: "not confirmed", Means: "nothing was changed", Do: "say yes, or use --yes where nobody can be asked"}
	if !terminal(os.Stdin) {
		return refusal
	}
	if _, err := fmt.Fprintf(e.stdout, "%s? [y/N] ", what); err != nil {
		return err
	}
	answer, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil {
		return refusal
	}
	if answer = strings.ToLower(strings.TrimSpace(answer)); answer != "y" && answer != "yes" {
		return refusal
	}
	return nil
}
