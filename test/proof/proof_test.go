// Package proof_test attacks the built exporter at random moments while it backs up a busy site, prunes, verifies
// and copies: kill -9 of the run, of the program that dumps, and of the database server, and the
// signals that end it in order. After each attack every backup is verified to its last byte by the exporter
// itself, and read back without a line of the code that made it; the next run must succeed and leave nothing over.
//
// PROOF says how often: bounded for what has to pass before anything lands, full for a release; without it
// a few times. -seed repeats the attacks of an earlier run, as far as the machine's speed allows; each has
// random numbers of its own, so that -run TestAttacked/037 repeats one alone.
package proof_test

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// kills of the run itself, by the value of PROOF. Misses and the other attacks come on top.
var kills = map[string]int{"": 3, "bounded": 16, "full": 200}

// kept is how many backups the retention keeps.
const kept = 2

var seedFlag = flag.Uint64("seed", 0, "repeat the attacks of the run that printed this seed")

// TestAttacked is one site on which run after run is attacked, each followed by one that is not.
func TestAttacked(t *testing.T) {
	stand.Need(t, stand.MariaDB, stand.PHP, stand.Zstd, stand.MinIO)
	wanted, known := kills[os.Getenv("PROOF")]
	if !known {
		t.Fatalf("PROOF is %q; it may be bounded or full", os.Getenv("PROOF"))
	}
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("%d kills of the run; repeat with -seed=%d", wanted, seed)
	s := startSite(t)
	s.random = rand.New(rand.NewPCG(seed, 0))
	s.grow(t, 1000)
	for range kept {
		s.backUp(t)
	}
	victims, turns := victims, turns
	if s.canCopy() {
		s.openBucket(t)
	} else {
		t.Log("COPIES ARE NOT ATTACKED: this exporter has no command `backup copy`")
		victims = slices.DeleteFunc(slices.Clone(victims), func(v *victim) bool { return v == copies })
		turns = slices.DeleteFunc(slices.Clone(turns), func(turn turn) bool { return turn.victim == copies })
	}
	for _, victim := range victims {
		s.inPeace(t, victim)
	}
	s.backUp(t) // in place of what the peaceful pruning took

	stop := s.keepBusy(t)
	defer stop()
	tally := tally{steps: map[string]int{}, kinds: map[string]int{}}
	for number := 1; tally.kills < wanted && number <= 3*wanted; number++ {
		s.random = rand.New(rand.NewPCG(seed, uint64(number)))
		turn := turns[(number-1)%len(turns)]
		name := fmt.Sprintf("%03d %s in %s", number, turn.kind.name, turn.victim.name)
		if !t.Run(name, func(t *testing.T) { s.survive(t, turn, &tally) }) {
			t.Fatalf("%s: the backups are as the attack left them; nothing more is tried on them", name)
		}
	}
	tally.tell(t)
	if single := strings.Contains(flag.Lookup("test.run").Value.String(), "/"); tally.kills < wanted && !single {
		t.Errorf("%d attacks killed the run only %d times", 3*wanted, tally.kills)
	}
}

// tally counts what was hit.
type tally struct {
	kills, others, missed int
	moments               [10]int        // tenths of the usual time at which runs were killed
	steps, kinds          map[string]int // that were hit
}

func (a *tally) tell(t *testing.T) {
	t.Helper()
	t.Logf("killed the run %d times, hit it otherwise %d times, came too late %d times", a.kills, a.others, a.missed)
	t.Logf("kills at random moments, by tenths of the usual time: %v", a.moments)
	for _, counts := range []map[string]int{a.kinds, a.steps} {
		for _, name := range slices.Sorted(maps.Keys(counts)) {
			t.Logf("%4d  %s", counts[name], name)
		}
	}
}

// survive attacks one run, and proves that no backup was harmed and that the next run succeeds.
func (s *site) survive(t *testing.T, turn turn, tally *tally) {
	t.Helper()
	s.grow(t, 40)
	s.age(t)
	damaged := ""
	if turn.victim.damage && s.random.IntN(2) == 0 {
		damaged = s.damage(t)
	}
	before := s.list(t)
	var copied []string
	if turn.victim == copies {
		copied = s.inBucket(t)
	}
	runs := s.runs(t)
	result := s.attack(t, turn)
	s.awaitUnlocked(t)
	after := s.list(t)
	s.lostNothing(t, turn.victim, before, after)
	s.sameWord(t, turn, result, before, after, runs, damaged != "", tally)
	if result.ended() {
		s.nothingLeftOver(t)
	}
	if damaged == "" {
		s.verify(t)
		for _, id := range after {
			s.readBack(t, id)
		}
		if turn.victim == copies {
			s.allIn(t, copied...)
			s.verifyCopies(t)
		}
		if !turn.victim.makes {
			s.inPeace(t, turn.victim)
		}
		if turn.victim == copies {
			s.allIn(t, slices.Concat(copied, after)...)
			s.nothingBegun(t)
			s.changeBucket(t)
		}
	} else {
		s.verifyFinds(t, damaged)
	}
	made := s.backUp(t)
	s.nothingLeftOver(t)
	last := s.list(t)
	if len(last) != kept || !slices.Contains(last, made) {
		t.Errorf("after a run that was left in peace there are %v, want %d with %s", last, kept, made)
	}
	if damaged != "" {
		s.verify(t) // the backup has mended it
	}
	for _, id := range last {
		s.readBack(t, id)
	}
}

// lostNothing: what was there still is, but for backups that a new one, or pruning, has made superfluous.
func (s *site) lostNothing(t *testing.T, victim *victim, before, after []string) {
	t.Helper()
	appeared := slices.DeleteFunc(slices.Clone(after), func(id string) bool { return slices.Contains(before, id) })
	if len(appeared) > 1 || len(appeared) == 1 && !victim.makes {
		t.Errorf("one run of %s made backups: %v, before it %v", victim.name, after, before)
	}
	keeps := victim.keeps
	if victim.makes && len(appeared) == 0 {
		keeps = kept // nothing is removed before the new one is there
	}
	for _, id := range before[max(0, len(before)-keeps):] {
		if !slices.Contains(after, id) {
			t.Errorf("backup %s is gone: before %v, after %v", id, before, after)
		}
	}
}

// sameWord compares what the run said of itself, by its exit and its record, with what it did.
func (s *site) sameWord(t *testing.T, turn turn, result result, before, after []string, runs int, damaged bool, tally *tally) {
	t.Helper()
	record, begun := s.record(t, runs)
	step := "before the first step"
	if begun && len(record.Steps) > 0 {
		step = record.Steps[len(record.Steps)-1].Name
	}
	appeared := len(after) > 0 && !slices.Contains(before, after[len(after)-1])
	t.Logf("%s %s: %s, in step %s of %s; a backup appeared: %v, content was damaged: %v", turn.kind.name, result.moment, result, step, turn.victim.name, appeared, damaged)
	hit := func(count *int) {
		*count++
		tally.steps[turn.victim.name+", "+step]++
		tally.kinds[turn.kind.name+" in "+turn.victim.name]++
	}
	switch {
	// A run that was killed on its way out has done its work, and its record says how that went.
	case result.ended() && result.code == 0 || result.killed() && begun && record.State == "ok":
		tally.missed++
		if appeared != turn.victim.makes || record.State != "ok" || damaged {
			t.Errorf("the run says that it succeeded, with record %q and damaged content %v; backups before %v, after %v", record.State, damaged, before, after)
		}
	case damaged && (result.code == 1 || result.killed() && begun) && record.State == "failed":
		tally.missed++
	case result.killed():
		hit(&tally.kills)
		if result.tenth >= 0 {
			tally.moments[result.tenth]++
		}
		if begun && record.State != "interrupted" {
			t.Errorf("the killed run's record says %s", record.State)
		}
		if turn.kind.signal != sigKill && begun {
			t.Errorf("the run did not end by itself on %v: %s", turn.kind.signal, result.output)
		}
	default:
		hit(&tally.others)
		if !slices.Contains(turn.kind.codes, result.code) || begun && record.State != turn.kind.state {
			t.Errorf("the run ended with %d and record %q, want one of %d and %q: %s", result.code, record.State, turn.kind.codes, turn.kind.state, result.output)
		}
		if result.output == "" {
			t.Error("the run failed without a word")
		}
	}
}
