package tree

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// childVariable names a file of moves: the test binary then does and undoes them until it is killed.
const childVariable = "TREE_TEST_CHILD"

func childMain() int {
	content, err := os.ReadFile(os.Getenv(childVariable))
	var moves []Move
	if err == nil {
		err = json.Unmarshal(content, &moves)
	}
	fmt.Println("ready")
	for err == nil {
		if err = Do(context.Background(), moves, nil); err == nil {
			err = Undo(context.Background(), moves, nil)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// TestKilledExchange: wherever it is killed, it can be told what is there, and finished or undone.
func TestKilledExchange(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, way := range []Way{ByRename, ByEntries, ByLink, "two renames"} {
		t.Run(string(way), func(t *testing.T) {
			moves, check := exchangeOf(t, way)
			content, err := json.Marshal(moves)
			must(t, err)
			journal := filepath.Join(tempDir(t), "moves.json")
			must(t, os.WriteFile(journal, content, 0o600))
			states := map[State]int{}
			for range 25 {
				kill(t, journal, time.Duration(random.IntN(3000))*time.Microsecond)
				state, err := StateOf(moves)
				if err != nil {
					t.Fatal(err)
				}
				states[state]++
				if random.IntN(2) == 0 {
					must(t, Undo(t.Context(), moves, nil))
					check(Undone)
				} else {
					must(t, Do(t.Context(), moves, nil))
					check(Done)
				}
			}
			t.Logf("found %v", states)
		})
	}
}

// kill runs the child and ends it some time after it has begun.
func kill(t *testing.T, journal string, after time.Duration) {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	child := exec.Command(self)
	child.Env = append(os.Environ(), childVariable+"="+journal)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	must(t, err)
	must(t, child.Start())
	if _, err := out.Read(make([]byte, 5)); err != nil {
		t.Error(err)
	}
	time.Sleep(after)
	must(t, child.Process.Kill())
	_ = child.Wait()
}

// exchangeOf prepares an exchange in each way, and tells how to check on which side it is.
func exchangeOf(t *testing.T, way Way) ([]Move, func(State)) {
	t.Helper()
	dir := tempDir(t)
	live := filepath.Join(dir, "live")
	old := map[string]string{"only-old": "o", "both/x": "old", "both2": "old", "link": "-> both"}
	fresh := map[string]string{"only-new": "n", "both/x": "new", "both2/y": "new", "link": "-> nowhere"}
	stage, staged, kept := dir, ".mxp-new/tree", ".mxp-old/tree"
	switch way {
	case ByEntries:
		stage = live
		mount(t, "tmpfs", live, "tmpfs", 0, "")
	case ByLink:
		staged, kept = "release2", ""
		must(t, os.Symlink("release1", live))
	}
	write(t, map[bool]string{true: filepath.Join(dir, "release1"), false: live}[way == ByLink], old)
	write(t, filepath.Join(stage, staged), fresh)
	if kept != "" {
		kept = filepath.Join(stage, kept)
	}
	moves, chosen, err := PlanDir(live, filepath.Join(stage, staged), kept)
	if err != nil {
		t.Fatal(err)
	}
	if way == "two renames" { // as where two directories cannot change places in one step
		moves[0].Inode, chosen = 0, way
	}
	if chosen != way {
		t.Fatalf("exchanged by %s, not by %s", chosen, way)
	}
	return moves, func(state State) {
		t.Helper()
		if got, err := StateOf(moves); err != nil || got != state {
			t.Errorf("state %s instead of %s, %v", got, state, err)
		}
		here, there := old, filepath.Join(stage, staged)
		keeps := fresh
		if state == Done {
			here, there, keeps = fresh, kept, old
		}
		sameMap(t, string(state)+": live", texts(t, live+"/"), here)
		if there != "" && way != ByLink {
			sameMap(t, string(state)+": aside", texts(t, there), keeps)
		}
	}
}
