package backup

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// childVariable makes the test binary a backup that kills itself; its value is a child in JSON.
const childVariable = "MOODLE_EXPORTER_BACKUP_CHILD"

type child struct {
	Site   moodle.Site
	Config config.Backup
	Later  time.Duration // how far the clock is ahead
	Step   string        // to die after
	Bytes  int64         // to die after, if there is no step
	Verify bool          // instead of backing up
	Copy   string        // directory of the bucket to copy to, instead of backing up
	Sealed string        // recipient of what is copied
}

// childMain backs up as it is told, and dies on the way.
func childMain() int {
	var c child
	if err := json.Unmarshal([]byte(os.Getenv(childVariable)), &c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	run := &dyingRun{left: c.Bytes}
	at := func(step string) {
		if step == c.Step {
			die()
		}
	}
	if c.Copy != "" {
		fmt.Fprintln(os.Stderr, "still alive:", c.copy(run, at))
		return 1
	}
	if c.Verify {
		_, err := Verify(context.Background(), VerifyOptions{Dir: c.Config.Dir, Site: c.Site.Name, ReadData: true, At: at}, run)
		fmt.Fprintln(os.Stderr, "still alive:", err)
		return 1
	}
	_, err := Create(context.Background(), Options{
		Site: &c.Site, Config: c.Config, Host: "host.example", Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Clock: func() time.Time { return time.Now().Add(c.Later) },
		At:    at,
	}, run)
	fmt.Fprintln(os.Stderr, "still alive:", err)
	return 1
}

func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

type dyingRun struct {
	noRun
	left int64
}

func (r *dyingRun) Add(bytes int64) {
	if r.left == 0 {
		return
	}
	if r.left -= bytes; r.left <= 0 {
		die()
	}
}

// TestKilledAtEveryStep: whenever a backup dies, no half of it is listed, the earlier ones stay whole, and
// the next one succeeds and leaves no trace of it.
func TestKilledAtEveryStep(t *testing.T) {
	t.Parallel()
	_, o := newSite(t, stand.SiteOptions{})
	o.Config.Keep = config.Keep{Last: 1} // each backup removes the one before
	var steps []string
	o.At = func(step string) { steps = append(steps, step) }
	later := time.Duration(0)
	now := o.Clock
	o.Clock = func() time.Time { return now().Add(later) }
	create(t, o)
	later += 48 * time.Hour
	create(t, o) // now with one to remove
	o.At = nil
	slices.Sort(steps)
	steps = slices.Compact(steps)
	for _, must := range []string{"preflight", "pool", "dump", "delta", "archive code", "audit", "sync", "manifest written", "manifest", "backup delisted", "prune"} {
		if !slices.Contains(steps, must) {
			t.Errorf("no step %s among %v", must, steps)
		}
	}
	var kills []child
	for _, step := range steps {
		kills = append(kills, child{Step: step})
	}
	kills = append(kills, child{Bytes: 1}, child{Bytes: 50_000}, child{Bytes: 200_000})
	for i, kill := range kills {
		later += 48 * time.Hour
		blob := freshBlob(t, o, fmt.Sprint("content ", i))
		before := ids(t, o)
		kill.Site, kill.Config, kill.Later = *o.Site, o.Config, later
		runChild(t, kill)
		after := ids(t, o)
		appeared := slices.Contains([]string{"manifest", "backup delisted", "prune"}, kill.Step)
		if lost := !slices.Contains(after, before[len(before)-1]) && !appeared; lost || len(after) > len(before)+1 || !appeared && len(after) != len(before) {
			t.Errorf("killed after %s: had %v, has %v", kill.Step, before, after)
		}
		for _, id := range after {
			checkWhole(t, o, id)
		}
		later += 48 * time.Hour
		manifest := create(t, o)
		if got := ids(t, o); len(got) != 1 || got[0] != manifest.ID {
			t.Errorf("after the next run there are %v", got)
		}
		checkWhole(t, o, manifest.ID)
		if _, err := os.Stat(path.Join(SiteDir(o.Config.Dir, "lms"), poolName, blob.path())); err != nil {
			t.Errorf("killed after %s: %v", kill.Step, err)
		}
	}
}

func runChild(t *testing.T, c child) {
	t.Helper()
	description, err := json.Marshal(c)
	must(t, err)
	binary, err := os.Executable()
	must(t, err)
	command := exec.CommandContext(t.Context(), binary)
	command.Env = append(os.Environ(), childVariable+"="+string(description))
	output, err := command.CombinedOutput()
	if !command.ProcessState.Sys().(syscall.WaitStatus).Signaled() {
		t.Fatalf("to be killed after %q or %d bytes: %v\n%s", c.Step, c.Bytes, err, output)
	}
	if strings.Contains(string(output), "still alive") {
		t.Errorf("%s", output)
	}
}
