package proof_test

import (
	"bytes"
	"encoding/json"
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

var (
	killRun           = kind{name: "kill -9 of the run", signal: sigKill}
	sigTerm           = kind{name: "SIGTERM", signal: syscall.SIGTERM, codes: []int{130}, state: "interrupted"}
	sigInt            = kind{name: "SIGINT", signal: syscall.SIGINT, codes: []int{130}, state: "interrupted"}
	killDumper        = kind{name: "kill -9 of the dump", signal: sigKill, strike: killDump, atOnce: true, codes: []int{1}, state: "failed"}
	killServerDumping = kind{name: "kill -9 of the server during the dump", signal: sigKill, strike: killServerInDump, atOnce: true, codes: []int{1}, state: "failed"}
	killServerAnytime = kind{name: "kill -9 of the server", signal: sigKill, strike: killServer, codes: []int{1, 12}, state: "failed"}
)

// result is how an attacked run ended.
type result struct {
	moment string // at which it was attacked
	tenth  int    // of its usual time, of an attack at a random moment; -1: of another
	code   int
	signal syscall.Signal // that ended it, 0 if it ended by itself
	output string
}

func (r result) killed() bool { return r.signal != 0 }
func (r result) ended() bool  { return r.signal == 0 }

func (r result) String() string {
	if r.killed() {
		return "killed by " + r.signal.String()
	}
	return fmt.Sprintf("exit code %d", r.code)
}

// attack starts a run, strikes, and waits for its end. Of three strikes two fall at a random moment of the
// run's usual time, and one in a random step, however short that is.
func (s *site) attack(t *testing.T, turn turn) result {
	t.Helper()
	run, output := s.command(s.wordsOf(turn.victim)...), &bytes.Buffer{}
	run.Stdout, run.Stderr = output, output
	old := s.runID(turn.victim)
	must(t, run.Start())
	began := time.Now()
	ended := make(chan struct{})
	go func() { _ = run.Wait(); close(ended) }()
	r := result{tenth: -1}
	switch {
	case turn.kind.atOnce:
		r.moment = "in the dump"
	case s.random.IntN(3) == 0:
		r.moment = s.awaitStep(turn.victim, old, ended)
	default:
		moment := time.Duration(s.random.Int64N(int64(turn.victim.usual)))
		r.tenth = int(10 * moment / turn.victim.usual)
		r.moment = fmt.Sprintf("after %v of %v", moment.Round(time.Millisecond), turn.victim.usual.Round(time.Millisecond))
		pause(moment-time.Since(began), ended)
	}
	select {
	case <-ended: // faster than usual
		turn.victim.usual = min(turn.victim.usual, time.Since(began))
	default:
		if turn.kind.strike == nil {
			_ = run.Process.Signal(turn.kind.signal) // it may have ended in the meantime
		} else {
			turn.kind.strike(s, run)
		}
		<-ended
	}
	s.restartServer(t)
	r.code, r.output = run.ProcessState.ExitCode(), output.String()
	if status := run.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
		r.signal = status.Signal()
	}
	return r
}

// awaitStep waits until the run is in a step chosen at random, and a random part of that step longer.
func (s *site) awaitStep(v *victim, old string, ended <-chan struct{}) (moment string) {
	chosen := v.steps[s.random.IntN(len(v.steps))]
	part := time.Duration(0)
	if took := chosen.Ended.Sub(chosen.Started); took > 0 {
		part = time.Duration(s.random.Int64N(int64(took)))
	}
	for s.stepNow(v, old) != chosen.Name {
		if !pause(200*time.Microsecond, ended) {
			break
		}
	}
	pause(part, ended)
	return fmt.Sprintf("%v after the beginning of step %s", part.Round(time.Millisecond), chosen.Name)
}

// stepNow is the step that the record of a running job names; empty for a record of the run before.
func (s *site) stepNow(v *victim, old string) string {
	r := s.lastRecord(v)
	if r.ID == old || len(r.Steps) == 0 {
		return ""
	}
	return r.Steps[len(r.Steps)-1].Name
}

func (s *site) runID(v *victim) string { return s.lastRecord(v).ID }

// lastRecord is that of the last run of a job, as it stands now.
func (s *site) lastRecord(v *victim) (r run) {
	content, err := os.ReadFile(s.recordPath(v))
	if err == nil {
		_ = json.Unmarshal(content, &r) // it is replaced as a whole
	}
	return r
}

// pause waits, and says whether the run has not ended meanwhile.
func pause(d time.Duration, ended <-chan struct{}) bool {
	select {
	case <-ended:
		return false
	case <-time.After(d):
		return true
	}
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
		if pid, found = childOf(run.Process.Pid, "mariadb-dump"); found && dumps(pid) {
			time.Sleep(time.Duration(s.random.Int64N(int64(backups.usual / 4))))
			return pid, true
		}
		time.Sleep(time.Millisecond)
	}
	return 0, false
}

// dumps tells the program at work from one that the preflight asks for its version.
func dumps(pid int) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && strings.Contains(string(line), "--single-transaction")
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
