package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
)

func backupListCommand(app *kingpin.Application) (string, action) {
	command := backupClause(app).Command("list", "The backups there are, oldest first.")
	site := command.Flag("site", "Only those of this site.").String()
	asJSON := command.Flag("json", "Print the manifests.").Bool()
	from := fromFlag(command)
	return command.FullCommand(), func(ctx context.Context, e *environment) error {
		settings, err := e.config()
		if err != nil {
			return err
		}
		manifests := []*backup.Manifest{}
		table := tabwriter.NewWriter(e.stdout, 0, 8, 2, ' ', 0)
		rows := 0
		head := func() {
			_, _ = fmt.Fprintln(table, "SITE\tID\tMADE\tTOOK\tRESTORES TO\tNEWLY STORED\tMOODLE\tCOMPONENTS\tSTATE")
		}
		err = e.eachList(ctx, settings, *from, *site, func(site string, list backups) error {
			found, err := list.all(ctx)
			for _, listed := range found {
				if *asJSON {
					if listed.Manifest != nil {
						manifests = append(manifests, listed.Manifest)
					}
					continue
				}
				if rows++; rows == 1 {
					head()
				}
				row(table, site, listed)
			}
			return err
		})
		if *asJSON {
			if printErr := printJSON(e.stdout, manifests); printErr != nil {
				return printErr
			}
			return err
		}
		if flushErr := table.Flush(); flushErr != nil {
			return flushErr
		}
		return err
	}
}

// backups are those of one site, on this host or off-site.
type backups struct {
	all func(context.Context) ([]backup.Listed, error)
	one func(ctx context.Context, id string) (backup.Listed, error)
}

// eachList calls look with the backups of every site, or the named one, in the place that is meant.
func (e *environment) eachList(ctx context.Context, settings *config.Config, from, site string, look func(site string, list backups) error) error {
	dir := settings.Backup.Dir
	if from == fromOffsite {
		return e.eachSiteOffsite(ctx, settings, site, access{}, func(site string, place *backup.Offsite) error {
			return look(site, backups{
				func(ctx context.Context) ([]backup.Listed, error) { return backup.ListOffsite(ctx, dir, site, place) },
				func(ctx context.Context, id string) (backup.Listed, error) {
					return backup.ShowOffsite(ctx, dir, site, id, place)
				},
			})
		})
	}
	return e.eachSiteWithBackups(settings, site, func(site string) error {
		return look(site, backups{
			func(ctx context.Context) ([]backup.Listed, error) { return backup.List(ctx, dir, site) },
			func(ctx context.Context, id string) (backup.Listed, error) { return backup.Show(ctx, dir, site, id) },
		})
	})
}

func row(table *tabwriter.Writer, site string, listed backup.Listed) {
	state := "good"
	if !listed.Good() {
		state = "NOT TO BE RELIED ON: " + strings.ReplaceAll(listed.Problem.Error(), "\n", "; ")
	}
	m := listed.Manifest
	if m == nil {
		_, _ = fmt.Fprintf(table, "%s\t%s\t-\t-\t-\t-\t-\t-\t%s\n", site, listed.ID, state)
		return
	}
	if listed.Good() && !m.Complete() {
		state = "good, but not complete"
	}
	switch {
	case listed.Hurt > 0:
		state += fmt.Sprintf(", but %d content files are damaged: the next backup mends what the site still has", listed.Hurt)
	case listed.Verified:
		state += ", verified"
	}
	var size, written int64
	for _, component := range m.Components {
		size, written = size+m.Size(component), written+m.Written(component)
	}
	_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", site, m.ID, m.Ended.Local().Format("2006-01-02 15:04"),
		m.Ended.Sub(m.Started).Round(time.Second), backup.Bytes(size), backup.Bytes(written), m.Moodle.Release, strings.Join(m.Components, ","), state)
}

func backupShowCommand(app *kingpin.Application) (string, action) {
	command := backupClause(app).Command("show", "What is in one backup.")
	id := command.Arg("id", "ID of the backup, or latest.").Required().String()
	site := command.Flag("site", "The site, if there are backups of several.").String()
	asJSON := command.Flag("json", "Print the manifest.").Bool()
	from := fromFlag(command)
	return command.FullCommand(), func(ctx context.Context, e *environment) error {
		settings, err := e.config()
		if err != nil {
			return err
		}
		found := 0
		err = e.eachList(ctx, settings, *from, *site, func(_ string, list backups) error {
			listed, err := list.one(ctx, *id)
			if err != nil {
				return err
			}
			found++
			if listed.Manifest == nil {
				return listed.Problem
			}
			if *asJSON {
				return printJSON(e.stdout, listed.Manifest)
			}
			if err := writeManifest(e.stdout, listed.Manifest); err != nil {
				return err
			}
			return listed.Problem
		})
		if found > 0 && is(backup.ErrNoSuchBackup)(err) {
			return nil // another site has no backup of that ID
		}
		if found == 0 && err == nil {
			return fmt.Errorf("%w: %s", backup.ErrNoSuchBackup, *id)
		}
		return err
	}
}
