package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/phpfpm"
	"github.com/moodle-exporter/moodle-exporter/internal/service"
)

// Services reloads units; *service.Bus is one.
type Services interface {
	Units(ctx context.Context, names []string) ([]service.Unit, error)
	ReloadOrRestart(ctx context.Context, name string) error
}

// ErrNoMaster is a pool whose PHP-FPM was not found, so that nobody could be told to reload.
var ErrNoMaster = errors.New("no running PHP-FPM of this pool was found")

const reloadPoll = 50 * time.Millisecond

// ReloadPool makes the PHP-FPM of a pool begin anew: requests at work are broken off after its process_control_timeout,
// compiled code is forgotten, all pools of the same PHP-FPM are affected. It returns when no child from before is left.
// services is nil where there is no systemd; then the master process, found by its title, gets SIGUSR2. It needs root.
func ReloadPool(ctx context.Context, services Services, pool phpfpm.Pool) error {
	unit, master := "", 0
	if services != nil {
		// Without systemd on the bus the master may still be found.
		units, _ := services.Units(ctx, unitNames(pool))
		for _, found := range units {
			if found.Up() && found.MainPID != 0 {
				unit, master = found.Name, int(found.MainPID)
				break
			}
		}
	}
	if master == 0 {
		master = masterOf(procRoot, pool)
	}
	if master == 0 {
		return fmt.Errorf("reload PHP-FPM: %w (%s)", ErrNoMaster, pool.File)
	}
	before, err := lookAt(procRoot, master)
	if err != nil {
		return fmt.Errorf("reload PHP-FPM: %w", err)
	}
	if unit != "" {
		err = services.ReloadOrRestart(ctx, unit)
	} else {
		err = syscall.Kill(master, syscall.SIGUSR2)
	}
	if err != nil {
		return fmt.Errorf("reload PHP-FPM (process %d): %w", master, err)
	}
	return awaitGone(ctx, master, before)
}

// unitNames are the units that may run a pool: Debian has one for each version, Red Hat one for all.
func unitNames(pool phpfpm.Pool) []string {
	if pool.Version != "" {
		return []string{"php" + pool.Version + "-fpm.service"}
	}
	return []string{"php-fpm.service"}
}

// process is what a reload changes of the master.
type process struct {
	children []string // process ids
	image    string   // changes when it executes itself anew: the kernel puts every program at another place
	title    string   // which it gives itself once it has read its configuration
}

func (p process) ready() bool { return strings.HasPrefix(p.title, masterTitle) }

const masterTitle = "php-fpm: master process ("

func lookAt(proc string, pid int) (process, error) {
	number := strconv.Itoa(pid)
	list, err := os.ReadFile(filepath.Join(proc, number, "task", number, "children")) //nolint:gosec // the kernel's own
	if err != nil {
		return process{}, fmt.Errorf("look at process %d: %w", pid, err)
	}
	image, err := os.ReadFile(filepath.Join(proc, number, "auxv")) //nolint:gosec // likewise
	if err != nil {
		return process{}, fmt.Errorf("look at process %d: %w", pid, err)
	}
	title, err := os.ReadFile(filepath.Join(proc, number, "cmdline")) //nolint:gosec // likewise
	if err != nil {
		return process{}, fmt.Errorf("look at process %d: %w", pid, err)
	}
	return process{strings.Fields(string(list)), string(image), string(title)}, nil
}

// awaitGone waits until the master has begun anew and none of the children is left that were there before.
func awaitGone(ctx context.Context, master int, before process) error {
	for {
		now, err := lookAt(procRoot, master)
		old := slices.ContainsFunc(now.children, func(pid string) bool { return slices.Contains(before.children, pid) })
		// A restart ends the master too, and with it all its children.
		if err != nil || !old && now.image != before.image && (now.ready() || !before.ready()) {
			return nil //nolint:nilerr // a process that is gone has no children
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("reload PHP-FPM (process %d): it has not begun anew, or old children are still at work: %w", master, ctx.Err())
		case <-time.After(reloadPoll):
		}
	}
}

// masterOf finds the master by the title that it gives itself, "php-fpm: master process (/etc/php/8.2/fpm/php-fpm.conf)":
// the pool's file is that one or lies below its directory.
func masterOf(proc string, pool phpfpm.Pool) int {
	entries, err := os.ReadDir(proc)
	if err != nil || pool.File == "" {
		return 0
	}
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		info, err := os.Stat(filepath.Join(proc, entry.Name()))
		if err != nil {
			continue
		}
		// Anybody can give himself this title; only root's word, or our own user's, counts.
		status, ok := info.Sys().(*syscall.Stat_t)
		if !ok || status.Uid != 0 && int(status.Uid) != os.Geteuid() {
			continue
		}
		title, err := os.ReadFile(filepath.Join(proc, entry.Name(), "cmdline")) //nolint:gosec // the kernel's own
		if err != nil || contained(proc, entry.Name()) {
			continue
		}
		_, rest, found := strings.Cut(strings.TrimRight(string(title), "\x00 "), masterTitle)
		file := strings.TrimSuffix(rest, ")")
		if found && (file == pool.File || strings.HasPrefix(pool.File, filepath.Dir(file)+"/")) {
			return pid
		}
	}
	return 0
}

// contained says whether a process lives in a container: there files of the same names are others, and the host's root
// sees its processes all the same. A namespace that may not be looked at is taken for our own.
func contained(proc, pid string) bool {
	own, err := os.Readlink(filepath.Join(proc, "self/ns/pid"))
	if err != nil {
		return false
	}
	its, err := os.Readlink(filepath.Join(proc, pid, "ns/pid"))
	return err == nil && its != own
}
