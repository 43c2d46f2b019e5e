package main

import (
	"context"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"

	"github.com/moodle-exporter/moodle-exporter/packaging/man"
)

// manCommand is for those who package the program.
func manCommand(app *kingpin.Application) (string, action) {
	command := app.Command("man", "Print the manual page, as roff.").Hidden()
	date := command.Flag("date", "Date of the release, as 2026-03-01.").String()
	return command.FullCommand(), func(_ context.Context, e *environment) error {
		return man.Write(e.stdout, app.Model(), version.Version, *date)
	}
}
