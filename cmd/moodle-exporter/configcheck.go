package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/alecthomas/kingpin/v2"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/maintenance"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

func configClause(app *kingpin.Application) *kingpin.CmdClause {
	if command := app.GetCommand("config"); command != nil {
		return command
	}
	return app.Command("config", "Look at the configuration and at what this host still has to be told.")
}

func configShowCommand(app *kingpin.Application) (string, action) {
	command := configClause(app).Command("show", "Print the configuration in force, defaults included. Passwords stay in their files.")
	return command.FullCommand(), func(_ context.Context, e *environment) error {
		settings, err := e.config()
		if err != nil {
			return err
		}
		text, err := settings.YAML()
		if err != nil {
			return err
		}
		_, err = e.stdout.Write(text)
		return err
	}
}

func configInitCommand(app *kingpin.Application) (string, action) {
	command := configClause(app).Command("init", "Write an example configuration, everything in it commented out.")
	return command.FullCommand(), func(_ context.Context, e *environment) error {
		if err := os.MkdirAll(filepath.Dir(e.configFile), 0o755); err != nil { //nolint:gosec // as all of /etc
			return fmt.Errorf("write the example configuration: %w", err)
		}
		file, err := os.OpenFile(e.configFile, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640) //nolint:gosec // read by the group
		if errors.Is(err, os.ErrExist) {
			return fmt.Errorf("%s exists and is left as it is; --config.file names another place", e.configFile)
		}
		if err != nil {
			return fmt.Errorf("write the example configuration: %w", err)
		}
		_, err = file.WriteString(config.Example)
		if gid := group(); err == nil && gid >= 0 {
			err = file.Chown(-1, gid)
		}
		if err = errors.Join(err, file.Close()); err != nil {
			return fmt.Errorf("write the example configuration: %w", err)
		}
		_, err = fmt.Fprintf(e.stdout, "Written to %s. Nothing in it is needed on an ordinary host.\n", e.configFile)
		return err
	}
}

func configGrantsCommand(app *kingpin.Application) (string, action) {
	command := configClause(app).Command("grants", "Print the SQL that makes the exporter's database account.")
	return command.FullCommand(), func(ctx context.Context, e *environment) error {
		settings, err := e.config()
		if err != nil {
			return err
		}
		found, err := e.findSites(ctx, settings, "")
		if len(found) > 0 {
			_, _ = fmt.Fprint(e.stdout, moodle.Grants(found, e.flavor(ctx, found)))
		}
		return err
	}
}

func configCheckCommand(app *kingpin.Application) (string, action) {
	command := configClause(app).Command("check", "Check the configuration, say what was found on this host, and print what it still has to be told.")
	return command.FullCommand(), func(ctx context.Context, e *environment) error {
		settings, err := e.config()
		if err != nil {
			return err
		}
		if err := maintenance.Check(settings.Maintenance, e.maintenanceTasks(settings, e.knownSites(settings))); err != nil {
			return err
		}
		said := "it does not exist, and an ordinary host needs none"
		if _, err := os.Stat(e.configFile); err == nil {
			said = "it is good"
		}
		_, _ = fmt.Fprintf(e.stdout, "Configuration %s: %s.\n", e.configFile, said)
		found, err := e.findSites(ctx, settings, "")
		for _, site := range found {
			_, _ = fmt.Fprintf(e.stdout, "Site %s: Moodle %s in %s, %s, database %s on %s, PHP as %s, config.php read by %s.\n",
				site.Name, site.Version.Release, site.Link, site.Config.WWWRoot, site.Config.DBName, site.Config.Server(), site.User, site.Config.ReadBy)
		}
		e.adviseBlocks(ctx, settings, found)
		return err
	}
}
