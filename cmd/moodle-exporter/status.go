package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/alecthomas/kingpin/v2"

	"github.com/moodle-exporter/moodle-exporter/collector"
	"github.com/moodle-exporter/moodle-exporter/internal/statuspage"
)

func statusCommand(app *kingpin.Application) (string, action) {
	command := app.Command("status", "Is it all right? Every check in one look. Exit 0: yes, 1: warning, 2: critical, 3: unknown.")
	asJSON := command.Flag("json", "Print the checks as JSON.").Bool()
	return command.FullCommand(), func(ctx context.Context, e *environment) error {
		report, err := e.lookOnce(ctx)
		if err != nil {
			_, _ = fmt.Fprintf(e.stderr, "moodle-exporter: %v\n", err)
			return exitStatus(statuspage.Unknown.ExitCode())
		}
		if *asJSON {
			err = statuspage.WriteJSON(e.stdout, report)
		} else {
			err = statuspage.WriteText(e.stdout, report, terminal(e.stdout))
		}
		if err != nil {
			return err
		}
		return exitStatus(report.Level.ExitCode())
	}
}

// lookOnce takes one look with the collectors of serve. Root takes the privileged look first, so that it
// sees the host as it is now; others see what the last one has found.
func (e *environment) lookOnce(ctx context.Context) (statuspage.Report, error) {
	settings, err := e.config()
	if err != nil {
		return statuspage.Report{}, err
	}
	// The report says what fails and why, with what to do; as log lines before it the same would stand twice.
	quiet := *e
	quiet.logger = slog.New(slog.DiscardHandler)
	h := newHost(&quiet, settings)
	h.once = true
	defer h.bus.Close()
	ctx, end := context.WithCancel(ctx)
	defer end()
	go h.look(ctx) // one that hangs on a dead disk or share ends with the process
	h.awaitLook(ctx)
	engine := collector.New(h.logger, e.clock, 0)
	if err := engine.Register(h.reloads); err != nil {
		return statuspage.Report{}, err
	}
	all := &serveFlags{collectors: map[string]*choice{}}
	for _, entry := range collectors {
		all.collectors[entry.name] = &choice{on: true}
	}
	// What is visited while the collectors are built may hang; the rest is read in a time of its own.
	building, cancel := context.WithTimeout(ctx, statusTime)
	defer cancel()
	h.build(building, engine, all)
	reading, cancel := context.WithTimeout(ctx, statusTime)
	defer cancel()
	report := h.report(reading, engine, "")
	if err := h.connections.Close(); err != nil {
		return report, errors.Join(err)
	}
	return report, nil
}
