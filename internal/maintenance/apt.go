package maintenance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/command"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

// apt runs apt-get as a program that nobody sits in front of.
type apt struct {
	config.Packages
	clock func() time.Time
}

// quiet keeps package scripts and their helpers from asking, and needrestart from restarting: service-restarts does that,
// in its own order and with a test before it.
var quiet = []string{"DEBIAN_FRONTEND=noninteractive", "APT_LISTCHANGES_FRONTEND=none", "NEEDRESTART_MODE=l", "NEEDRESTART_SUSPEND=1", "UCF_FORCE_CONFFOLD=1"}

// upgrading are the options of whatever changes packages: settings that somebody has changed stay as they are, nothing is
// removed, and another apt is waited for no longer than we do.
var upgrading = []string{"-y", "--no-remove", "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold", "-o", "DPkg::Lock::Timeout=0"}

const (
	outputLimit = 16 << 20
	lockPause   = 2 * time.Second
	// simulated bounds a look at the lists on this host.
	simulated = 5 * time.Minute
)

// errNoApt is a host whose packages are not managed by apt.
var errNoApt = errors.New("there is no apt-get on this host; only its packages can be kept up to date")

// NewPackageLists makes the task package-lists, which lets apt know what there is to upgrade. On a host without apt it has
// nothing to do.
func NewPackageLists(settings config.Packages, clock func() time.Time) Task {
	a := &apt{settings, clock}
	return Task{
		Name: "package-lists",
		Run: func(ctx context.Context, run *job.Run) error {
			err := a.update(ctx, run)
			if errors.Is(err, errNoApt) {
				run.Logger.Info("nothing to do", "reason", err)
				return nil
			}
			return err
		},
		Preview: func(_ context.Context, to io.Writer) error {
			if err := a.installed(); err != nil {
				_, err = fmt.Fprintf(to, "nothing: %v\n", err)
				return err
			}
			_, err := fmt.Fprintln(to, "would run apt-get update")
			return err
		},
	}
}

func (a *apt) installed() error {
	if _, err := command.Look("apt-get"); err != nil {
		return errNoApt
	}
	return nil
}

func (a *apt) update(ctx context.Context, run *job.Run) error {
	// Error-Mode: without it apt-get says that it could fetch nothing, and exits with 0.
	return a.run(ctx, ctx, run, "update", "-o", "APT::Update::Error-Mode=any", "-o", "Acquire::Retries=2")
}

// run runs apt-get, which life ends. Another package manager at work is waited for as long as ctx wants it; what apt-get
// says goes to the log of the run.
func (a *apt) run(ctx, life context.Context, run *job.Run, args ...string) error {
	if err := a.installed(); err != nil {
		return err
	}
	said := &lines{logger: run.Logger}
	defer said.end()
	started := a.clock()
	for {
		err := command.Run(life, command.Command{
			Name: "apt-get", Args: append([]string{"-q"}, args...), Env: quiet, Stdout: said,
			Files: run.LockFiles(), Started: run.ChildStarted,
		})
		if err == nil || !locked(err) {
			return err
		}
		waited := a.clock().Sub(started)
		if waited >= time.Duration(a.Wait) {
			return fmt.Errorf("another package manager has been at work for %s and was not waited for any longer; see with `ps -C apt,apt-get,dpkg,unattended-upgr` whether it hangs: %w", waited.Round(time.Second), err)
		}
		if waited < lockPause {
			run.Logger.Info("another package manager is at work and is waited for", "at_most", a.Wait)
		}
		select {
		case <-ctx.Done():
			return ctx.Err() //nolint:wrapcheck // the end of the run
		case <-time.After(lockPause):
		}
	}
}

// locked says whether apt-get ended because of another one (apt-pkg/deb/debsystem.cc, apt-pkg/acquire.cc).
func locked(err error) bool {
	var failure *command.Error
	if !errors.As(err, &failure) || failure.ExitCode != 100 {
		return false
	}
	return strings.Contains(failure.Stderr, "Could not get lock") &&
		(strings.Contains(failure.Stderr, "held by process") || strings.Contains(failure.Stderr, "temporarily unavailable"))
}

// simulate asks apt-get what it would do, which takes no lock and no rights.
func (a *apt) simulate(ctx context.Context, args ...string) ([]change, error) {
	if err := a.installed(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, simulated)
	defer cancel()
	output, err := command.Output(ctx, outputLimit, command.Command{Name: "apt-get", Args: append([]string{"-s", "-q", "--no-remove"}, args...), Env: quiet})
	if err != nil {
		return nil, fmt.Errorf("ask apt-get what there is to upgrade: %w", err)
	}
	return parseSimulation(output)
}

// lines writes each line that a program says to a log.
type lines struct {
	logger *slog.Logger
	rest   []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, found := bytes.Cut(l.rest, []byte("\n"))
		if !found && len(l.rest) < 4096 {
			return len(p), nil
		}
		l.say(line)
		l.rest = rest
	}
}

func (l *lines) end() { l.say(l.rest) }

func (l *lines) say(line []byte) {
	if text := strings.TrimSpace(strings.ToValidUTF8(string(line), "?")); text != "" {
		l.logger.Info(text)
	}
}
