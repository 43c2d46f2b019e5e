package maintenance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/moodle-exporter/moodle-exporter/internal/command"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

// change is one package that apt-get would install in another version.
type change struct {
	name, from, to string
	security       bool
}

func (c change) String() string { return fmt.Sprintf("%s %s -> %s", c.name, c.from, c.to) }

// installation is a line such as
//
//	Inst nginx [1.22.1-9] (1.22.1-9+deb12u1 Debian:12.9/stable, Debian-Security:12/stable-security [amd64])
var installation = regexp.MustCompile(`^Inst (\S+) (?:\[([^]]*)\] )?\((\S+) (.*?)(?: \[[^]]*\])?\)`)

// parseSimulation reads what apt-get -s prints. One that would remove a package is an error: no task of ours does.
func parseSimulation(output []byte) ([]change, error) {
	var changes []change
	for line := range bytes.Lines(output) {
		if bytes.HasPrefix(line, []byte("Remv ")) {
			return nil, fmt.Errorf("an upgrade would remove a package (%s); that is for a person to decide", bytes.TrimSpace(line))
		}
		if !bytes.HasPrefix(line, []byte("Inst ")) {
			continue
		}
		parts := installation.FindSubmatch(line)
		if parts == nil {
			return nil, fmt.Errorf("apt-get said something that is not understood: %.200q", line)
		}
		changes = append(changes, change{string(parts[1]), string(parts[2]), string(parts[3]), security(string(parts[4]))})
	}
	return changes, nil
}

// security says whether one of the archives that have this version is for security updates: stable-security of Debian,
// jammy-security of Ubuntu.
func security(origins string) bool {
	for origin := range strings.SplitSeq(origins, ",") {
		if strings.HasSuffix(strings.TrimSpace(origin), "-security") {
			return true
		}
	}
	return false
}

// Reboot is where a host says that it needs one.
type Reboot struct {
	Required string // /run/reboot-required: made by packages that say so; .pkgs beside it names them
	Kernel   string // /vmlinuz: a link to the newest kernel
}

// HostReboot are the places of Debian and Ubuntu.
var HostReboot = Reboot{"/run/reboot-required", "/vmlinuz"}

// reason is why the host should be booted anew, or nothing.
func (r Reboot) reason() string {
	if _, err := os.Stat(r.Required); err == nil {
		names, _ := os.ReadFile(r.Required + ".pkgs")
		packages := strings.Fields(string(names))
		slices.Sort(packages)
		return strings.TrimSpace("packages ask for it: " + strings.Join(slices.Compact(packages), " "))
	}
	var running unix.Utsname
	newest, err := os.Readlink(r.Kernel)
	if err != nil || unix.Uname(&running) != nil {
		return ""
	}
	installed := strings.TrimPrefix(filepath.Base(newest), "vmlinuz-")
	if now := unix.ByteSliceToString(running.Release[:]); installed != now {
		return fmt.Sprintf("kernel %s is installed and %s is running", installed, now)
	}
	return ""
}

// NewPackageUpgrades makes the task package-upgrades: apt-get upgrade, which removes nothing, installs nothing new and
// leaves held packages alone. A change of settings that a package brings does not replace settings that were changed here.
func NewPackageUpgrades(settings config.Packages, reboot Reboot, clock func() time.Time) Task {
	a := &apt{settings, clock}
	return Task{
		Name: "package-upgrades", Disruptive: true, Alone: true,
		Run: func(ctx context.Context, run *job.Run) error {
			err := a.upgrade(ctx, run)
			if reason := reboot.reason(); reason != "" {
				run.Logger.Warn("the host should be booted anew", "reason", reason)
			}
			return err
		},
		Preview: func(ctx context.Context, to io.Writer) error {
			changes, left, err := a.choose(ctx)
			for _, one := range changes {
				_, _ = fmt.Fprintf(to, "would upgrade %s\n", one)
			}
			if err == nil {
				_, _ = fmt.Fprintf(to, "%d packages to upgrade, %d others left as they are\n", len(changes), left)
			}
			return err
		},
	}
}

// choose are the packages to upgrade, and how many there are beside them that the settings leave out.
func (a *apt) choose(ctx context.Context) (changes []change, left int, err error) {
	changes, err = a.simulate(ctx, "upgrade")
	all := len(changes)
	if a.SecurityOnly {
		changes = slices.DeleteFunc(changes, func(c change) bool { return !c.security })
	}
	return changes, all - len(changes), err
}

// upgrade brings the lists up to date and then the packages.
func (a *apt) upgrade(ctx context.Context, run *job.Run) error {
	if err := a.update(ctx, run); err != nil {
		return fmt.Errorf("bring the package lists up to date: %w", err)
	}
	changes, left, err := a.choose(ctx)
	if err != nil || len(changes) == 0 {
		run.Logger.Info("no package is upgraded", "left_out", left)
		return err
	}
	action := []string{"upgrade"}
	if a.SecurityOnly {
		action = []string{"--only-upgrade", "install"}
		for _, one := range changes {
			action = append(action, one.name+"="+one.to)
		}
		if _, err := a.simulate(ctx, action...); err != nil {
			return err
		}
	}
	for _, one := range changes {
		run.Logger.Info("upgrading", "package", one.name, "from", one.from, "to", one.to)
	}
	// Whoever wants the run to end waits for dpkg: a package that is half configured may be a server that does not start.
	err = a.run(ctx, context.WithoutCancel(ctx), run, append(slices.Clone(upgrading), action...)...)
	return errors.Join(err, a.half(ctx))
}

// half names packages that are not wholly installed after an upgrade.
func (a *apt) half(ctx context.Context) error {
	output, err := command.Output(context.WithoutCancel(ctx), outputLimit, command.Command{Name: "dpkg", Args: []string{"--audit"}})
	if err != nil || len(bytes.TrimSpace(output)) == 0 {
		return err
	}
	return fmt.Errorf("packages are not wholly installed; `dpkg --audit` names them, `dpkg --configure -a` tries again: %.500s", bytes.TrimSpace(output))
}
