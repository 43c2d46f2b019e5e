package boot

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Result is how a program in the machine ended.
type Result struct {
	Stdout, Stderr string
	ExitCode       int
}

// Run runs a program in the machine as root and waits for it. A program that exits with anything
// but 0 is no error, only one that could not be run or was killed.
func (m *Machine) Run(ctx context.Context, argv ...string) (Result, error) {
	return m.run(ctx, nil, argv...)
}

// RunAs is Run as another user of the machine, with that user's groups.
func (m *Machine) RunAs(ctx context.Context, user string, argv ...string) (Result, error) {
	return m.run(ctx, nil, append([]string{"runuser", "-u", user, "--"}, argv...)...)
}

// Must is Run for a program that has to succeed; it returns its stdout.
func (m *Machine) Must(ctx context.Context, argv ...string) (string, error) {
	return m.must(ctx, nil, argv...)
}

// WriteFile writes a file in the machine and makes the directories above it. owner is user:group.
func (m *Machine) WriteFile(ctx context.Context, path string, content []byte, mode fs.FileMode, owner string) error {
	return m.copyIn(ctx, bytes.NewReader(content), path, mode, owner)
}

// CopyIn copies a file of the host into the machine, like WriteFile.
func (m *Machine) CopyIn(ctx context.Context, file, path string, mode fs.FileMode, owner string) error {
	content, err := os.Open(file)
	if err != nil {
		return err
	}
	defer content.Close()
	return m.copyIn(ctx, content, path, mode, owner)
}

func (m *Machine) copyIn(ctx context.Context, content io.Reader, path string, mode fs.FileMode, owner string) error {
	user, group, _ := strings.Cut(owner, ":")
	_, err := m.must(ctx, content, "install", "-D", "-m", strconv.FormatUint(uint64(mode), 8), "-o", user, "-g", group, "/dev/stdin", path)
	return err
}

// ReadFile reads a file in the machine. The error wraps fs.ErrNotExist if there is none.
func (m *Machine) ReadFile(ctx context.Context, path string) ([]byte, error) {
	result, err := m.Run(ctx, "cat", path)
	if err != nil {
		return nil, err
	}
	if result.ExitCode != 0 {
		if strings.Contains(result.Stderr, "No such file") {
			return nil, fmt.Errorf("read %s: %w", path, fs.ErrNotExist)
		}
		return nil, fmt.Errorf("read %s: %s", path, result.Stderr)
	}
	return []byte(result.Stdout), nil
}

// HostPath is where the host sees a path of the machine, for programs of the host that talk to a
// socket or build a tree in it. Absolute links in it would lead out of the machine.
func (m *Machine) HostPath(path string) string {
	return filepath.Join("/proc", strconv.Itoa(m.Pid), "root", path)
}

func (m *Machine) must(ctx context.Context, input io.Reader, argv ...string) (string, error) {
	result, err := m.run(ctx, input, argv...)
	if err == nil && result.ExitCode != 0 {
		err = fmt.Errorf("exit status %d: %s", result.ExitCode, strings.TrimSpace(result.Stderr+result.Stdout))
	}
	if err != nil {
		return "", fmt.Errorf("%s in the machine: %w", strings.Join(argv, " "), err)
	}
	return result.Stdout, nil
}

func (m *Machine) run(ctx context.Context, input io.Reader, argv ...string) (Result, error) {
	args := append([]string{"--target", strconv.Itoa(m.Pid), "--all", "--"}, argv...)
	cmd := exec.CommandContext(ctx, "nsenter", args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = input, &stdout, &stderr
	cmd.Env = environment()
	// nsenter forks to enter the process namespace: the group is what has to end.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() && ctx.Err() == nil {
		err = nil
	}
	return Result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}, err
}

// environment is all that programs in the machine get of one: the test's own stays outside.
func environment() []string {
	return []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8"}
}
