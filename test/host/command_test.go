package host

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"testing"
	"time"
)

// patience is how long anything may take that happens at once on a healthy machine.
const patience = 30 * time.Second

// outcome is how a command ended and what it said.
type outcome struct {
	stdout, stderr string
	code           int
}

// longest is how long any command may take before it counts as hung.
const longest = 30 * time.Second

// command is the binary with arguments, for a test that wants to watch it at work.
func (i *installation) command(ctx context.Context, t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	command := exec.CommandContext(ctx, theBinary(t), append(i.flags(), args...)...)
	command.Env, command.Dir = i.environment(), i.dir
	return command
}

// run runs one command to its end.
func (i *installation) run(t *testing.T, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), longest)
	defer cancel()
	return finish(t, i.command(ctx, t, args...))
}

// mustRun is run for a command that has to end with the exit code 0 and not a word on stderr.
func (i *installation) mustRun(t *testing.T, args ...string) string {
	t.Helper()
	o := i.run(t, args...)
	if o.code != 0 || o.stderr != "" {
		t.Fatalf("moodle-exporter %q ended with %d and said %q", args, o.code, o.stderr)
	}
	return o.stdout
}

func finish(t *testing.T, command *exec.Cmd) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if !command.ProcessState.Exited() {
		t.Errorf("%q was ended by %v: it hung", command.Args, command.ProcessState)
	}
	return outcome{stdout.String(), stderr.String(), command.ProcessState.ExitCode()}
}

// eventually polls until ready has no error.
func eventually(t *testing.T, ready func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := ready()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %v", patience, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
