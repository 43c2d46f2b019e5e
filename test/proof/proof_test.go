// Package proof_test attacks the built exporter's backup of a busy site at random moments: kill -9 of the run, of
// the program that dumps, and of the database server, and the signals that end it in order. After each
// attack it reads every backup back without a line of the code that made it.
//
// PROOF says how often: bounded for what has to pass before anything lands, full for a release; without it
// a few times. PROOF_SEED repeats the moments of an earlier run, as far as the machine's speed allows.
package proof_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// attacks by the value of PROOF.
var attacks = map[string]int{"": 4, "bounded": 25, "full": 200}

// kept is how many backups the retention keeps.
const kept = 2

// TestAttacked is one site on which backup after backup is attacked, each followed by one that is not.
func TestAttacked(t *testing.T) {
	stand.Need(t, stand.MariaDB, stand.PHP, stand.Zstd)
	count, known := attacks[os.Getenv("PROOF")]
	if !known {
		t.Fatalf("PROOF is %q; it may be bounded or full", os.Getenv("PROOF"))
	}
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("PROOF_SEED"); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		must(t, err)
	}
	t.Logf("%d attacks; repeat with PROOF_SEED=%d", count, seed)
	s := startSite(t, rand.New(rand.NewPCG(seed, 0)))
	s.grow(t, 3000)
	for range kept {
		s.backUp(t)
	}

	stop := s.keepBusy(t)
	defer stop()
	reached := map[string]int{}
	for i := range count {
		// Each kind has its turn; the run itself is killed every second time.
		kind := kinds[0]
		if i%2 == 1 {
			kind = kinds[1+i/2%(len(kinds)-1)]
		}
		name := fmt.Sprintf("%03d %s", i+1, kind.name)
		if !t.Run(name, func(t *testing.T) { s.survive(t, kind, reached) }) {
			t.Fatalf("%s: the backups are as the attack left them; nothing more is tried on them", name)
		}
	}
	t.Logf("steps that were interrupted: %v", reached)
}

// survive attacks one run, and proves that no backup was harmed and that the next run succeeds.
func (s *site) survive(t *testing.T, kind kind, reached map[string]int) {
	t.Helper()
	s.grow(t, 200)
	s.age(t)
	before := s.list(t)
	runs := s.runs(t)
	result := s.attack(t, kind)
	s.awaitUnlocked(t)
	after := s.list(t)
	s.lostNothing(t, before, after)
	for _, id := range after {
		s.readBack(t, id)
	}
	s.sameWord(t, kind, result, before, after, runs, reached)
	if !result.killed() {
		s.nothingLeftOver(t)
	}
	made := s.backUp(t)
	s.nothingLeftOver(t)
	last := s.list(t)
	if len(last) != kept || !slices.Contains(last, made) {
		t.Errorf("after a run that was left in peace there are %v, want %d with %s", last, kept, made)
	}
	for _, id := range last {
		s.readBack(t, id)
	}
}

// lostNothing: what was there still is, but for backups that a new one has made superfluous.
func (s *site) lostNothing(t *testing.T, before, after []string) {
	t.Helper()
	if len(after) > len(before)+1 {
		t.Errorf("one run made several backups: %v, before it %v", after, before)
	}
	appeared := slices.ContainsFunc(after, func(id string) bool { return !slices.Contains(before, id) })
	wanted := before
	if appeared {
		wanted = before[len(before)-kept+1:]
	}
	for _, id := range wanted {
		if !slices.Contains(after, id) {
			t.Errorf("backup %s is gone: before %v, after %v", id, before, after)
		}
	}
}

// sameWord compares what the run said of itself, by its exit and its record, with what it did.
func (s *site) sameWord(t *testing.T, kind kind, result result, before, after []string, runs int, reached map[string]int) {
	t.Helper()
	record, begun := s.record(t, runs)
	step := "before the first step"
	if begun && len(record.Steps) > 0 {
		step = record.Steps[len(record.Steps)-1].Name
	}
	appeared := len(after) > 0 && !slices.Contains(before, after[len(after)-1])
	t.Logf("%s after %v of %v: %s, in step %s, a backup appeared: %v", kind.name, result.after.Round(time.Millisecond), s.usual.Round(time.Millisecond), result, step, appeared)
	switch {
	case result.killed():
		reached[step]++
		if begun && record.State != "interrupted" {
			t.Errorf("the killed run's record says %s", record.State)
		}
		if kind.signal != sigKill && begun {
			t.Errorf("the run did not end by itself on %v: %s", kind.signal, result.output)
		}
	case result.code == 0:
		if !appeared || record.State != "ok" {
			t.Errorf("the run says that it succeeded, with record %q; backups before %v, after %v", record.State, before, after)
		}
	default:
		reached[step]++
		if !slices.Contains(kind.codes, result.code) || begun && record.State != kind.state {
			t.Errorf("the run ended with %d and record %q, want one of %d and %q: %s", result.code, record.State, kind.codes, kind.state, result.output)
		}
		if result.output == "" {
			t.Error("the run failed without a word")
		}
	}
}
