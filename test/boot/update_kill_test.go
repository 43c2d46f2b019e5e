package boot_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

var seedFlag = flag.Uint64("seed", 0, "repeat the kills of the run that printed this seed, as far as the machine's speed allows")

// kills are the random moments of a test: a few in a usual run.
func kills(t *testing.T, few int) (*rand.Rand, int) {
	t.Helper()
	seed, wanted := *seedFlag, few
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	if os.Getenv("PROOF") == "full" {
		wanted = 50
	}
	t.Logf("proof: %d kills; repeat with -seed=%d", wanted, seed)
	return rand.New(rand.NewPCG(seed, 0)), wanted
}

// fate is what came of the kills in one phase.
type fate struct{ updated, asBefore, again int }

// testKilled kills updates at random moments with the signal that nobody can catch, sometimes the run that ends them as
// well, and wants the next one to leave the site whole on the one or the other version.
func (u *updated) testKilled(t *testing.T) {
	random, wanted := kills(t, 3)
	release := u.next()
	archive := u.archived(t, release)
	before := u.standing(t)
	fates := map[string]*fate{}
	var closed []time.Duration
	for done, tries := 0, 0; done < wanted && tries < 2*wanted && !t.Failed(); tries++ {
		visitors := u.probe(t)
		// Some phases are much shorter than others: each has its turn, and so has the whole.
		phase := u.killUpdate(t, random, aims[random.IntN(len(aims))], "--to="+archive)
		if phase != tooLate {
			done++
		}
		again := phase != tooLate && random.IntN(3) == 0
		if again {
			u.killUpdate(t, random, aim{})
		}
		u.recover(t, phase != tooLate && done%3 == 1)
		seen, shut := visitors.end()
		closed = append(closed, shut)
		after := u.standing(t)
		if fates[phase] == nil {
			fates[phase] = &fate{}
		}
		if again {
			fates[phase].again++
		}
		end := "as before"
		if after.version == before.version {
			fates[phase].asBefore++
			before.asBefore(t, after)
		} else {
			end = "updated"
			fates[phase].updated++
			before.onNew(t, after, u.site.Prefix, release.Version)
		}
		u.works(t)
		for _, what := range seen {
			if what != loginPage && what != maintenance && !strings.HasPrefix(what, "502 ") {
				t.Errorf("visitors saw %s", strings.Join(seen, ", "))
			}
		}
		t.Logf("kill %d in phase %s, the next run killed as well: %v; %s; closed for %.1f s; seen: %s", done, phase, again, end, shut.Seconds(), strings.Join(seen, ", "))
		if t.Failed() {
			t.Log(u.updateLog(t))
		}
		if end == "updated" {
			release = u.next()
			archive = u.archived(t, release)
			before = after
		}
	}
	tell(t, fates, closed)
}

// tell logs what came of all kills.
func tell(t *testing.T, fates map[string]*fate, closed []time.Duration) {
	t.Helper()
	for _, phase := range slices.Sorted(maps.Keys(fates)) {
		f := fates[phase]
		t.Logf("proof: killed in phase %-10s %2d times: %2d sites updated, %2d as before; %d of the next runs killed as well", phase, f.updated+f.asBefore, f.updated, f.asBefore, f.again)
	}
	slices.Sort(closed)
	t.Logf("proof: closed for %.1f s at the median, %.1f s at most, until somebody ran the command again at once", closed[len(closed)/2].Seconds(), closed[len(closed)-1].Seconds())
}

// tooLate is the phase of an update that had ended before it was killed.
const tooLate = "ended"

// phases of an update in their order, as the journal names them.
var phases = []string{"staging", "draining", "closed", "upgrading", "visiting", "open"}

// aim is when to kill: a random moment of the time after a phase has begun. Without a phase that is the whole of an update.
type aim struct {
	phase  string
	within time.Duration // 0 for as long as an update takes
}

var aims = []aim{{}, {"draining", time.Second}, {"closed", 2 * time.Second}, {"upgrading", 2 * time.Second}, {"visiting", 50 * time.Millisecond}, {"open", time.Second}}

// killUpdate begins an update and kills it. It returns the phase that the journal names then.
func (u *updated) killUpdate(t *testing.T, random *rand.Rand, at aim, args ...string) (phase string) {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = u.Run(t.Context(), append([]string{"moodle-exporter", "update", "--site=" + u.site.Name, "--yes"}, args...)...)
	}()
	over := func() bool {
		select {
		case <-ended:
			return true
		default:
			return false
		}
	}
	if err := pollFor(t, u.Machine, func() error {
		phase, err := u.journal()
		if err == nil && !over() && slices.Index(phases, phase) < slices.Index(phases, at.phase) {
			err = fmt.Errorf("the update is %s", phase)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	span := at.within
	if span == 0 {
		span = u.span
	}
	select {
	case <-ended:
	case <-time.After(time.Duration(random.Int64N(int64(span)))):
	}
	killed, err := u.Run(context.WithoutCancel(t.Context()), "sh", "-c", "kill -9 $(pgrep -f '^moodle-exporter update')")
	<-ended
	if err != nil || killed.ExitCode != 0 {
		return tooLate
	}
	if phase, err = u.journal(); err != nil {
		t.Error(err)
	}
	if phase == "" {
		phase = "none"
	}
	return phase
}

// recover runs the command again, as an administrator does who finds the site closed, or the housekeeping, as the hourly
// timer does. What the killed one has begun may be at work for a while.
func (u *updated) recover(t *testing.T, byTimer bool) {
	t.Helper()
	command := []string{"moodle-exporter", "update", "--site=" + u.site.Name, "--yes"}
	if byTimer {
		command = []string{"moodle-exporter", "maintain"}
	}
	if err := pollFor(t, u.Machine, func() error {
		out, err := u.Run(t.Context(), command...)
		if err == nil && out.ExitCode == 11 {
			return fmt.Errorf("locked: %s", out.Stderr)
		}
		if err != nil || out.ExitCode != 0 {
			t.Errorf("%v ends with %d (%v): %s%s", command, out.ExitCode, err, out.Stdout, out.Stderr)
			return nil
		}
		phase, err := u.journal()
		if phase != "" && err == nil {
			err = fmt.Errorf("%v has left the update in phase %s: %s", command, phase, out.Stderr)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}
