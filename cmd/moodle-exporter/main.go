// Command moodle-exporter watches a Moodle host for Prometheus and does the dangerous work on it: backup
// and whatever comes with it. This package holds flags and wiring only; the work is done in the rooms below.
package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/promslog"
	promslogflag "github.com/prometheus/common/promslog/flag"
	"github.com/prometheus/common/version"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
	"github.com/moodle-exporter/moodle-exporter/internal/service"
)

const defaultStateDir = "/var/lib/moodle-exporter"

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// environment is what every command gets: the global flags, and the world as it is injected below.
type environment struct {
	configFile string
	configSet  bool
	stateDir   string
	lockDir    string
	textfile   string
	bus        string // socket of the message bus that systemd answers on
	stdout     io.Writer
	stderr     io.Writer
	logger     *slog.Logger
	clock      func() time.Time
}

// action carries out one command.
type action func(ctx context.Context, e *environment) error

// register adds a command to the application and returns what carries it out.
type register func(app *kingpin.Application) (name string, run action)

// commands are all there are.
var commands = []register{
	serveCommand, probeCommand, backupCreateCommand, backupListCommand, backupShowCommand,
	backupVerifyCommand, backupPruneCommand, backupCopyCommand, acceptMissingCommand,
	statusCommand, jobsListCommand, jobsShowCommand,
	configCheckCommand, configShowCommand, configInitCommand, configGrantsCommand,
	restoreCommand, drillCommand, updateCommand,
	alertsExportCommand, dashboardsExportCommand, maintainCommand, manCommand,
}

func run(args []string, stdout, stderr io.Writer) int {
	if version.Version == "" {
		version.Version = "unreleased" // built by hand, without make
	}
	e := &environment{stdout: stdout, stderr: stderr, clock: time.Now, lockDir: "/run/moodle-exporter"}
	app := kingpin.New("moodle-exporter", "Watches a Moodle host for Prometheus, and backs it up.")
	app.Flag("config.file", "Configuration; an ordinary host needs none.").Default(config.DefaultPath).IsSetByUser(&e.configSet).StringVar(&e.configFile)
	app.Flag("state.dir", "Where job records, facts and logs are kept.").Default(defaultStateDir).StringVar(&e.stateDir)
	app.Flag("textfile.directory", "Also write job metrics here, for node_exporter.").Default("").StringVar(&e.textfile)
	app.Flag("path.dbus-socket", "Socket of the system's message bus, where systemd is asked for the state of services.").Default(service.SystemBus).StringVar(&e.bus)
	logging := &promslog.Config{Writer: stderr}
	promslogflag.AddFlags(app, logging)
	levelSet := false
	app.GetFlag("log.level").IsSetByUser(&levelSet)
	app.Version(version.Print("moodle-exporter"))
	app.HelpFlag.Short('h')
	app.UsageWriter(stderr)
	app.ErrorWriter(stderr)
	code := -1
	app.Terminate(func(status int) { code = status })

	table := map[string]action{}
	for _, add := range commands {
		name, run := add(app)
		table[name] = run
	}
	name, err := app.Parse(args)
	if code >= 0 {
		return code // --help and --version have said what they have to
	}
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "moodle-exporter: %v; try --help\n", err)
		return exitFailed
	}
	if name != "serve" && !levelSet {
		// Cron mails whatever is written: jobs speak up when something is wrong, and log the rest to their run's file.
		if err := logging.Level.Set("warn"); err != nil {
			return e.finish(context.Background(), err)
		}
	}
	e.logger = promslog.New(logging)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err = e.askRoot(name); err == nil {
		err = sayRoot(name, table[name](ctx, e))
	}
	return e.finish(ctx, err)
}

// config reads the configuration file. One that was named must exist.
func (e *environment) config() (*config.Config, error) {
	return config.Load(e.configFile, e.configSet)
}

// runner runs jobs with their records in the state directory.
func (e *environment) runner() *job.Runner {
	return &job.Runner{StateDir: e.stateDir, LockDir: e.locks(), ProcRoot: "/proc", Group: group(), Clock: e.clock, Logger: e.logger}
}

// locks is /run/moodle-exporter for root with the usual state directory. Whoever keeps state elsewhere, as
// the demo does and every user who is not root, locks there and touches nothing of the host's.
func (e *environment) locks() string {
	if os.Geteuid() != 0 || e.stateDir != defaultStateDir {
		return filepath.Join(e.stateDir, "locks")
	}
	return e.lockDir
}
