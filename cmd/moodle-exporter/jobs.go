package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

func jobsClause(app *kingpin.Application) *kingpin.CmdClause {
	if command := app.GetCommand("jobs"); command != nil {
		return command
	}
	return app.Command("jobs", "What ran, when, for how long, and how it ended.")
}

func jobsListCommand(app *kingpin.Application) (string, action) {
	command := jobsClause(app).Command("list", "The runs of all jobs, oldest first.").Default()
	asJSON := command.Flag("json", "Print the records.").Bool()
	return command.FullCommand(), func(_ context.Context, e *environment) error {
		runs, err := e.runs()
		if len(runs) == 0 && err != nil {
			return err
		}
		if *asJSON {
			return errors.Join(printJSON(e.stdout, runs), err)
		}
		if len(runs) == 0 {
			_, err = fmt.Fprintln(e.stdout, "No job has run on this host yet.")
			return err
		}
		table := tabwriter.NewWriter(e.stdout, 0, 8, 2, ' ', 0)
		_, _ = fmt.Fprintln(table, "ID\tSITE\tJOB\tSTARTED\tTOOK\tEND\tERROR")
		for _, run := range runs {
			took := "-"
			if duration, ended := run.Duration(); ended {
				took = duration.Round(100 * time.Millisecond).String()
			}
			first, _, _ := strings.Cut(run.Error, "\n")
			_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", run.ID, siteLabel(run.Site), run.Job,
				run.Started.Local().Format("2006-01-02 15:04:05"), took, run.State, first)
		}
		return errors.Join(table.Flush(), err)
	}
}

func jobsShowCommand(app *kingpin.Application) (string, action) {
	command := jobsClause(app).Command("show", "One run with its steps and its log.")
	id := command.Arg("id", "ID of the run; SITE/JOB/ID if several runs began in that second.").Required().String()
	follow := command.Flag("follow", "Show progress and log of a run at work until it ends, and end as it does.").Short('f').Bool()
	asJSON := command.Flag("json", "Print the record.").Bool()
	return command.FullCommand(), func(ctx context.Context, e *environment) error {
		runs, err := e.runs()
		found := slices.DeleteFunc(runs, func(run job.Record) bool { return run.ID != *id && fullName(run) != *id })
		if len(found) == 0 {
			return errors.Join(fmt.Errorf("no run has the ID %q; moodle-exporter jobs lists them", *id), err)
		}
		if *follow {
			return errors.Join(err, e.follow(ctx, found, *asJSON))
		}
		for _, run := range found {
			if *asJSON {
				err = errors.Join(err, printJSON(e.stdout, run))
				continue
			}
			e.showRun(run)
			err = errors.Join(err, e.showLog(run))
		}
		return err
	}
}

// fullName tells runs apart that began in the same second.
func fullName(run job.Record) string { return run.Site + "/" + run.Job + "/" + run.ID }

// follow shows one run to its end. The error is only its exit code: what there is to say, it says.
func (e *environment) follow(ctx context.Context, found []job.Record, asJSON bool) error {
	run := found[len(found)-1]
	for _, other := range found {
		if fullName(other) != fullName(run) {
			return fmt.Errorf("several runs began in that second; name one of them: %s, %s", fullName(other), fullName(run))
		}
	}
	to := e.stdout
	if asJSON {
		to = io.Discard
	}
	ended, err := e.followRun(ctx, run, to)
	if err != nil {
		return err
	}
	if asJSON {
		err = printJSON(e.stdout, ended)
	} else {
		e.showRun(ended)
	}
	if code := exitOfState[ended.State]; err == nil && code != exitDone {
		return exitStatus(code)
	}
	return err
}

// runs are those of the history and those under way.
func (e *environment) runs() ([]job.Record, error) {
	if _, err := os.Stat(e.stateDir); errors.Is(err, os.ErrNotExist) {
		return []job.Record{}, nil // nothing has run on this host yet
	}
	runs, err := job.History(e.stateDir)
	current, readErr := job.Read(e.stateDir)
	for _, record := range current {
		if !slices.ContainsFunc(runs, func(r job.Record) bool {
			return r.ID == record.ID && r.Job == record.Job && r.Site == record.Site
		}) {
			runs = append(runs, record.Settled("/proc"))
		}
	}
	slices.SortStableFunc(runs, func(a, b job.Record) int { return a.Started.Compare(b.Started) })
	return runs, errors.Join(err, readErr)
}

func (e *environment) showRun(run job.Record) {
	_, _ = fmt.Fprintf(e.stdout, "%s of %s: %s\n", run.Job, siteLabel(run.Site), run.State)
	if run.Error != "" {
		_, _ = fmt.Fprintln(e.stdout, run.Error)
	}
	for _, step := range run.Steps {
		took := "not ended"
		if step.Ended != nil {
			took = step.Ended.Sub(step.Started).Round(time.Millisecond).String()
		}
		_, _ = fmt.Fprintf(e.stdout, "  %-20s %s\n", step.Name, took)
	}
}

func (e *environment) showLog(run job.Record) error {
	log, err := os.Open(job.LogPath(e.stateDir, run))
	if errors.Is(err, os.ErrNotExist) {
		return nil // pruned
	}
	if err != nil {
		return fmt.Errorf("read the log of run %s: %w", run.ID, err)
	}
	defer func() { _ = log.Close() }()
	_, err = io.Copy(e.stdout, log)
	return err
}

func siteLabel(site string) string {
	if site == config.HostName {
		return "(host)"
	}
	return site
}

func printJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}
