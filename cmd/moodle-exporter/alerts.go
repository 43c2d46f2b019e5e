package main

import (
	"context"
	"fmt"

	"github.com/alecthomas/kingpin/v2"

	"github.com/moodle-exporter/moodle-exporter/alerts"
)

func alertsExportCommand(app *kingpin.Application) (string, action) {
	command := app.Command("alerts", "Alert rules, Alertmanager configuration and runbooks.").
		Command("export", "Write them into a directory.")
	dir := command.Arg("dir", "Directory, made if it is missing.").Required().String()
	return command.FullCommand(), func(_ context.Context, e *environment) error {
		if err := alerts.Export(*dir); err != nil {
			return err
		}
		_, err := fmt.Fprintf(e.stdout, "Written to %s: point rule_files of Prometheus at %[1]s/rules/*.yml, and edit the addresses in %[1]s/alertmanager.yml.\n", *dir)
		return err
	}
}
