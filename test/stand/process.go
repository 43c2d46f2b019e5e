package stand

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

const (
	startTimeout = 30 * time.Second // until a program answers
	stopTimeout  = 10 * time.Second // between SIGTERM and SIGKILL
	pollInterval = 10 * time.Millisecond
)

// process is one running program of the stand.
type process struct {
	name   string
	log    string // file with its output
	pid    int
	cancel context.CancelFunc
	done   chan struct{} // closed once it has ended
	err    error         // how it ended; read only after done
}

// startProcess starts a program in dir whose output goes to the file log, with environment
// (NAME=value) added to this process's own. It ends with ctx.
//
// The parent-death signal is bound to the thread that forked the child, so a goroutine holds
// its thread until the child has ended. SIGTERM, not SIGKILL: masters then take their workers along.
func startProcess(ctx context.Context, name, log string, account Account, dir string, environment []string, argv ...string) (*process, error) {
	path, err := find(argv[0])
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	out, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: open its log: %w", name, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, path, argv[1:]...)
	cmd.Env = append(os.Environ(), environment...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = stopTimeout
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM, Credential: account.credential()}

	p := &process{name: name, log: log, cancel: cancel, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer out.Close()
		defer cancel()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p.pid = cmd.Process.Pid
	return p, nil
}

// await polls ready until it succeeds, the program ends, ctx ends or 30 s have passed.
func (p *process) await(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended while starting (%w), its last words: %s", p.name, p.err, p.tail())
		case <-ctx.Done():
			_ = p.stop()
			return fmt.Errorf("%s did not answer (%w), its last words: %s", p.name, err, p.tail())
		case <-time.After(pollInterval):
		}
	}
}

// stop sends SIGTERM, waits, kills the whole process group after 10 s. It may be called again.
func (p *process) stop() error {
	if p == nil {
		return nil
	}
	p.cancel()
	<-p.done
	// What the program left behind in its group goes as well.
	_ = syscall.Kill(-p.pid, syscall.SIGKILL)
	var exit *exec.ExitError
	if p.err != nil && !errors.As(p.err, &exit) && !errors.Is(p.err, context.Canceled) {
		return fmt.Errorf("stop %s: %w", p.name, p.err)
	}
	return nil
}

// kill is kill -9 for the program and its group, and waits until it is gone.
func (p *process) kill() {
	_ = syscall.Kill(-p.pid, syscall.SIGKILL)
	<-p.done
}

func (p *process) signal(s syscall.Signal) error { return syscall.Kill(p.pid, s) }

// children lists the pids of the program's own children.
func (p *process) children() ([]string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", p.pid, p.pid))
	return strings.Fields(string(data)), err
}

// tail is the end of the program's output, for error messages.
func (p *process) tail() string {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	lines := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
	if len(lines) > 15 {
		lines = lines[len(lines)-15:]
	}
	return strings.TrimSpace(string(bytes.Join(lines, []byte("\n"))))
}

// run runs a program to its end; its output is part of the error.
func run(ctx context.Context, account Account, argv ...string) error {
	path, err := find(argv[0])
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, path, argv[1:]...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: account.credential()}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", argv[0], err, bytes.TrimSpace(out))
	}
	return nil
}
