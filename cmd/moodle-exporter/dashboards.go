package main

import (
	"context"
	"fmt"

	"github.com/alecthomas/kingpin/v2"

	"github.com/moodle-exporter/moodle-exporter/dashboards"
)

func dashboardsExportCommand(app *kingpin.Application) (string, action) {
	command := app.Command("dashboards", "Grafana dashboards.").
		Command("export", "Write them into a directory.")
	dir := command.Arg("dir", "Directory, made if it is missing.").Required().String()
	return command.FullCommand(), func(_ context.Context, e *environment) error {
		if err := dashboards.Export(*dir); err != nil {
			return err
		}
		_, err := fmt.Fprintf(e.stdout, "Written to %s: name it as path of a dashboard provider of Grafana, or import the files by hand.\n", *dir)
		return err
	}
}
