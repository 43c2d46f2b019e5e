package maintenance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/command"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
	"github.com/moodle-exporter/moodle-exporter/internal/service"
)

// Units is what is asked of systemd; *service.Bus answers.
type Units interface {
	Discover(ctx context.Context) ([]string, error)
	Units(ctx context.Context, names []string) ([]service.Unit, error)
}

// restarted are the units of the task service-restarts where none are configured, in the order in which they go: what others
// stand on comes first, the web server last. test is what proves their settings before; nothing for none.
var restarted = []struct {
	pattern string
	test    func(unit string) []string
}{
	{"mariadb*.service", nil}, {"mysql*.service", nil}, {"redis*.service", nil}, {"valkey*.service", nil},
	{"php*-fpm.service", func(unit string) []string { return []string{"php-fpm" + phpVersion(unit), "-t"} }},
	{"apache2.service", func(string) []string { return []string{"apache2ctl", "configtest"} }},
	{"httpd.service", func(string) []string { return []string{"httpd", "-t"} }},
	{"nginx.service", func(string) []string { return []string{"nginx", "-t", "-q"} }},
}

// phpVersion is 8.2 of php8.2-fpm.service, and nothing of php-fpm.service.
func phpVersion(unit string) string {
	return strings.TrimSuffix(strings.TrimPrefix(unit, "php"), "-fpm.service")
}

// NewServiceRestarts makes the task service-restarts: one unit after another, only those that run, each only if its settings
// are good, and each watched until it is up. units are the configured ones; none means those that systemd has.
func NewServiceRestarts(units []string, bus Units) Task {
	s := &services{units, bus}
	return Task{
		Name: "service-restarts", Disruptive: true, Alone: true,
		Run: s.restartAll,
		Preview: func(ctx context.Context, to io.Writer) error {
			names, err := s.names(ctx)
			for _, name := range names {
				_, _ = fmt.Fprintf(to, "would restart %s\n", name)
			}
			return err
		},
	}
}

type services struct {
	configured []string
	bus        Units
}

// names are the units that run, in order.
func (s *services) names(ctx context.Context) ([]string, error) {
	wanted := s.configured
	if wanted == nil {
		found, err := s.bus.Discover(ctx)
		if err != nil {
			return nil, err
		}
		for _, kind := range restarted {
			for _, unit := range found {
				if matched, err := path.Match(kind.pattern, unit); matched && err == nil {
					wanted = append(wanted, unit)
				}
			}
		}
	}
	units, err := s.bus.Units(ctx, wanted)
	if units == nil && err != nil {
		return nil, fmt.Errorf("ask systemd which services run: %w", err)
	}
	var running []string
	for _, unit := range units {
		if unit.Up() {
			running = append(running, unit.Name) // one that somebody stopped stays stopped
		}
	}
	return running, nil
}

func (s *services) restartAll(ctx context.Context, run *job.Run) error {
	names, err := s.names(ctx)
	if err != nil {
		return err
	}
	var failures []error
	for _, unit := range names {
		if ctx.Err() != nil {
			break
		}
		if err := s.apply(ctx, run, "restart", unit); err != nil {
			failures = append(failures, err)
		}
	}
	return errors.Join(append(failures, ctx.Err())...)
}

// apply restarts or reloads a unit whose settings are good, and waits until it is up.
func (s *services) apply(ctx context.Context, run *job.Run, action, unit string) error {
	if err := testSettings(ctx, unit); err != nil {
		return fmt.Errorf("%s is left running as it is, for its settings are broken and it would not come back: %w", unit, err)
	}
	err := command.Run(ctx, command.Command{Name: "systemctl", Args: []string{action, unit}, Files: run.LockFiles(), Started: run.ChildStarted})
	if err == nil {
		err = s.awaitUp(ctx, unit)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w; see `journalctl -u %s`", action, unit, err, unit)
	}
	run.Logger.Info("done and up", "action", action, "unit", unit)
	return nil
}

// testSettings runs the server's own test of its settings, if it has one.
func testSettings(ctx context.Context, unit string) error {
	for _, kind := range restarted {
		if matched, err := path.Match(kind.pattern, unit); !matched || err != nil || kind.test == nil {
			continue
		}
		test := kind.test(unit)
		program, err := command.Look(test[0])
		if err != nil {
			return err
		}
		return command.Run(ctx, command.Command{Name: program, Args: test[1:]})
	}
	return nil
}

const (
	upWithin = time.Minute
	upPause  = 200 * time.Millisecond
	// steady is how often in turn a unit must be seen up: one that dies at once was up for a moment.
	steady = 5
)

func (s *services) awaitUp(ctx context.Context, unit string) error {
	ctx, cancel := context.WithTimeout(ctx, upWithin)
	defer cancel()
	last := "not known"
	for seen := 0; seen < steady; {
		units, err := s.bus.Units(ctx, []string{unit})
		switch {
		case len(units) == 1 && units[0].Up():
			seen++
		case len(units) == 1:
			last, seen = units[0].State, 0
		default:
			seen = 0
		}
		select {
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("after %s its state is %q", upWithin, last), err)
		case <-time.After(upPause):
		}
		if last == "failed" && seen == 0 {
			return errors.New("it has failed")
		}
	}
	return nil
}
