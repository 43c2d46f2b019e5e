package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/alecthomas/kingpin/v2"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/internal/nginx"
	"github.com/moodle-exporter/moodle-exporter/internal/phpfpm"
	"github.com/moodle-exporter/moodle-exporter/internal/probe"
	"github.com/moodle-exporter/moodle-exporter/internal/service"
)

func probeCommand(app *kingpin.Application) (string, action) {
	command := app.Command("probe", "Take the privileged look once and write down the facts that serve reads. For root's timer.")
	return command.FullCommand(), func(ctx context.Context, e *environment) error {
		settings, err := e.config()
		if err != nil {
			return err
		}
		_, err = e.probe(settings).Run(ctx)
		return err
	}
}

func (e *environment) finder() *moodle.Finder {
	return &moodle.Finder{Root: "/", PoolFiles: phpfpm.DefaultGlobs, StateDir: e.stateDir, Group: group(), Logger: e.logger}
}

func (e *environment) probe(settings *config.Config) *probe.Probe {
	return &probe.Probe{
		Config: settings, Finder: e.finder(), StateDir: e.stateDir, Group: group(), Clock: e.clock, Logger: e.logger,
		Services: e.discoverServices, CertificateFiles: probe.DefaultCertificateFiles, NginxFile: nginx.DefaultFile,
		SettingsDir: filepath.Dir(config.DefaultPath),
	}
}

// discoverServices asks systemd; on a host without it there is nothing to find.
func (e *environment) discoverServices(ctx context.Context) ([]string, error) {
	bus := service.NewBus(e.bus)
	defer bus.Close()
	units, err := bus.Discover(ctx)
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return units, err
}
