package proof_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const sigKill = syscall.SIGKILL

// kind is one way to attack a run, and how a run that does not survive it must end.
type kind struct {
	name   string
	signal syscall.Signal
	// strike does it. Without it the run itself gets the signal.
	strike func(s *site, run *exec.Cmd)
	atOnce bool   // strike finds its moment itself
	codes  []int  // exit codes of a run that could say something
	state  string // in its record
}

var kinds = []kind{
	{name: "kill -9 of the run", signal: sigKill},
	{name: "SIGTERM", signal: syscall.SIGTERM, codes: []int{130}, state: "interrupted"},
	{name: "kill -9 of the dump", signal: sigKill, strike: killDump, atOnce: true, codes: []int{1}, state: "failed"},
	{name: "kill -9 of the server during the dump", signal: sigKill, strike: killServerInDump, atOnce: true, codes: []int{1}, state: "failed"},
	{name: "SIGINT", signal: syscall.SIGINT, codes: []int{130}, state: "interrupted"},
	{name: "kill -9 of the server", signal: sigKill, strike: killServer, codes: []int{1, 12}, state: "failed"},
}

// result is how an attacked run ended.
type result struct {
	after  time.Duration // into the run, when it was attacked; 0 if it had ended before
	code   int
	signal syscall.Signal // that ended it, 0 if it ended by itself
	output string
}

func (r result) killed() bool { return r.signal != 0 }

func (r result) String() string {
	if r.killed() {
		return "killed by " + r.signal.String()
	}
	return fmt.Sprintf("exit code %d", r.code)
}

// attack starts a run, strikes at a random moment of its usual time, and waits for its end.
func (s *site) attack(t *testing.T, kind kind) result {
	t.Helper()
	run, output := s.command("backup"), &bytes.Buffer{}
	run.Stdout, run.Stderr = output, output
	must(t, run.Start())
	began := time.Now()
	var after time.Duration
	ended := make(chan error, 1)
	go func() { ended <- run.Wait() }()
	moment := time.Duration(s.random.Int64N(int64(s.usual)))
	if kind.atOnce {
		moment = 0
	}
	var err error
	select {
	case err = <-ended: // faster than usual
	case <-time.After(moment):
		if kind.strike == nil {
			must(t, run.Process.Signal(kind.signal))
		} else {
			kind.strike(s, run)
		}
		after = time.Since(began)
		err = <-ended
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	s.restartServer(t)
	status := run.ProcessState.Sys().(syscall.WaitStatus)
	r := result{after: after, code: run.ProcessState.ExitCode(), output: output.String()}
	if status.Signaled() {
		r.signal = status.Signal()
	}
	return r
}

func killDump(s *site, run *exec.Cmd) {
	if pid, found := s.awaitDump(run); found {
		_ = syscall.Kill(pid, sigKill) // it may have ended in the meantime
	}
}

func killServerInDump(s *site, run *exec.Cmd) {
	s.awaitDump(run)
	killServer(s, run)
}

func killServer(s *site, _ *exec.Cmd) {
	s.database.Kill()
	s.killed = true
}

// awaitDump waits for the run's dumping program, and a moment longer. A run that ends without one speaks for itself.
func (s *site) awaitDump(run *exec.Cmd) (pid int, found bool) {
	for run.Process.Signal(syscall.Signal(0)) == nil {
		if pid, found = childOf(run.Process.Pid, "mariadb-dump"); found {
			time.Sleep(time.Duration(s.random.Int64N(int64(s.usual / 4))))
			return pid, true
		}
		time.Sleep(time.Millisecond)
	}
	return 0, false
}

// restartServer brings the database server back if it was killed.
func (s *site) restartServer(t *testing.T) {
	t.Helper()
	if s.killed {
		must(t, s.database.Start())
		s.killed = false
	}
}

// childOf finds the process of that name and parent.
func childOf(parent int, name string) (pid int, found bool) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, false
	}
	for _, path := range stats {
		content, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(content), " (")
		comm, fields, _ := strings.Cut(rest, ") ")
		if values := strings.Fields(fields); comm == name && len(values) > 1 && values[1] == strconv.Itoa(parent) {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			return pid, err == nil
		}
	}
	return 0, false
}
