package boot

import (
	"context"
	_ "embed" // the scripts
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

var (
	//go:embed guard.sh
	guardScript string
	//go:embed machine.sh
	machineScript string
)

const (
	bootTimeout  = 90 * time.Second
	pollInterval = 20 * time.Millisecond
)

// Options says what kind of machine Start boots; the zero value has no disks of its own.
type Options struct {
	Disks []Disk
}

// Disk is an ext4 filesystem of the machine. It takes memory only as it is filled.
type Disk struct {
	Path      string // where it is mounted; no spaces or colons
	Megabytes int    // at least 4
	ReadOnly  bool   // the whole filesystem, as after a disk error
}

// Machine is a booted Debian.
type Machine struct {
	// Pid is the process id of the machine's init, as the host sees it.
	Pid int
	// BootTime is how long it took from Start until systemd had started every unit.
	BootTime time.Duration

	owner   io.Closer // the pipe whose end is the end of the machine
	console *console
	done    chan struct{}
	cgroups []string
}

// Start boots a machine and returns once systemd has started its units. It ends with ctx, with
// Close, and with this process. The error holds the end of the console.
func Start(ctx context.Context, options Options) (*Machine, error) {
	started := time.Now()
	cgroups, err := makeCgroups()
	if err != nil {
		return nil, err
	}
	m := &Machine{console: &console{}, done: make(chan struct{}), cgroups: cgroups}
	if err := m.launch(options); err != nil {
		removeCgroups(cgroups)
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = m.owner.Close() })
	ctx, cancel := context.WithTimeout(ctx, bootTimeout)
	defer cancel()
	if err := m.awaitBoot(ctx); err != nil {
		return nil, fmt.Errorf("boot the machine: %w; its console ends with:\n%s", errors.Join(err, m.Close()), m.console)
	}
	m.BootTime = time.Since(started)
	return m, nil
}

// launch starts the guard, which starts the machine.
func (m *Machine) launch(options Options) error {
	var disks []string
	for _, d := range options.Disks {
		mode := "rw"
		if d.ReadOnly {
			mode = "ro"
		}
		if strings.ContainsAny(d.Path, " :") {
			return fmt.Errorf("disk path %q has a space or colon", d.Path)
		}
		disks = append(disks, fmt.Sprintf("%s:%d:%s", d.Path, d.Megabytes, mode))
	}
	guard := exec.Command("sh", "-c", guardScript, "guard", machineScript, strings.Join(m.cgroups, " "), strings.Join(disks, " "))
	guard.Env = environment()
	guard.Dir = "/"
	guard.Stdout, guard.Stderr = m.console, m.console
	// Ctrl-C on the terminal is for the test; the machine learns of it by the pipe.
	guard.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	owner, err := guard.StdinPipe()
	if err != nil {
		return fmt.Errorf("start the machine: %w", err)
	}
	if err := guard.Start(); err != nil {
		return fmt.Errorf("start the machine: %w", err)
	}
	m.owner = owner
	go func() {
		_ = guard.Wait() // killed is how it always ends
		close(m.done)
	}()
	return nil
}

// awaitBoot finds the machine's init and waits until it has no more jobs.
func (m *Machine) awaitBoot(ctx context.Context) error {
	err := m.Poll(ctx, func(context.Context) error {
		var err error
		m.Pid, err = m.findInit()
		return err
	})
	if err != nil {
		return err
	}
	return m.Poll(ctx, func(ctx context.Context) error {
		// Degraded is a started machine as well: what matters is waited for by name.
		result, err := m.Run(ctx, "systemctl", "is-system-running", "--wait")
		state := strings.TrimSpace(result.Stdout)
		if err == nil && state != "running" && state != "degraded" {
			err = fmt.Errorf("systemd is %q: %s", state, result.Stderr)
		}
		return err
	})
}

// findInit looks into the cgroup that systemd makes for itself in the machine.
func (m *Machine) findInit() (int, error) {
	content, err := os.ReadFile(filepath.Join(m.cgroups[0], "payload/init.scope/cgroup.procs"))
	if err != nil {
		return 0, fmt.Errorf("find the machine's init: %w", err)
	}
	first, _, _ := strings.Cut(string(content), "\n")
	pid, err := strconv.Atoi(first)
	if err != nil {
		return 0, fmt.Errorf("find the machine's init: %w", err)
	}
	return pid, nil
}

// Poll calls ready until it succeeds. The error is the last one of ready, once ctx or the machine has ended.
func (m *Machine) Poll(ctx context.Context, ready func(context.Context) error) error {
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-m.done:
			return fmt.Errorf("the machine has ended: %w", err)
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(pollInterval):
		}
	}
}

// Close ends the machine: every process, mount and file of it is gone when it returns.
func (m *Machine) Close() error {
	_ = m.owner.Close() // may be closed already
	<-m.done
	for _, dir := range m.cgroups {
		if _, err := os.Stat(dir); err == nil {
			return fmt.Errorf("the machine's cgroup %s is still there", dir)
		}
	}
	return nil
}

// Console is the end of what the machine's console has shown.
func (m *Machine) Console() string { return m.console.String() }

// console keeps the last part of what is written to it.
type console struct {
	mutex sync.Mutex
	tail  []byte
}

const consoleSize = 16 << 10

func (c *console) Write(p []byte) (int, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.tail = append(c.tail, p...)
	if excess := len(c.tail) - consoleSize; excess > 0 {
		c.tail = append([]byte(nil), c.tail[excess:]...)
	}
	return len(p), nil
}

func (c *console) String() string {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return string(c.tail)
}
