package job

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

const priorityVariable = "MOODLE_EXPORTER_TEST_PRIORITY"

// TestPriority: every thread there is, every one that comes, and every child makes way; whoever makes more
// way already goes on doing so. It runs in a process of its own, for there is no way back.
func TestPriority(t *testing.T) {
	if wanted := os.Getenv(priorityVariable); wanted != "" {
		var p Priority
		if _, err := fmt.Sscan(wanted, &p.Nice, &p.IO); err != nil {
			t.Fatal(err)
		}
		tellPriorities(t, p)
		return
	}
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ before, wanted, want string }{
		{"", "10 best-effort", "nice 10, best-effort: prio 7"},
		{"", "10 idle", "nice 10, idle"},
		{"nice -n 15 ionice -c 3", "10 best-effort", "nice 15, idle"},
		{"ionice -c 2 -n 7", "5 none", "nice 5, best-effort: prio 7"},
	} {
		argv := append(strings.Fields(test.before), binary, "-test.run=^TestPriority$", "-test.v")
		command := exec.CommandContext(t.Context(), argv[0], argv[1:]...)
		command.Env = append(os.Environ(), priorityVariable+"="+test.wanted)
		output, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, output)
		}
		told := 0
		for line := range strings.Lines(string(output)) {
			if is, found := strings.CutPrefix(strings.TrimSpace(line), "told: "); found {
				if told++; is != test.want {
					t.Errorf("%s, wanted %s: somebody has %q, want %q", test.before, test.wanted, is, test.want)
				}
			}
		}
		if told < 10 {
			t.Errorf("%d threads and children told:\n%s", told, output)
		}
	}
}

// tellPriorities prints those of all threads and of a child.
func tellPriorities(t *testing.T, p Priority) {
	var threads, begun, end sync.WaitGroup
	end.Add(1)
	start := func(count int) {
		for range count {
			begun.Add(1)
			threads.Go(func() {
				runtime.LockOSThread()
				begun.Done()
				end.Wait()
			})
		}
		begun.Wait()
	}
	start(5)
	if err := p.Take("/proc"); err != nil {
		t.Fatal(err)
	}
	start(5)
	tasks, err := filepath.Glob("/proc/self/task/*")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		stat, err := os.ReadFile(filepath.Join(task, "stat"))
		if err != nil {
			t.Fatal(err)
		}
		io, err := exec.CommandContext(t.Context(), "ionice", "-p", filepath.Base(task)).Output()
		if err != nil {
			t.Fatal(err)
		}
		const niceField = 19 - 3 // the first field after the name is the third
		fmt.Printf("told: nice %s, %s\n", strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))[niceField], strings.TrimSpace(string(io)))
	}
	child, err := exec.CommandContext(t.Context(), "sh", "-c", `echo "told: nice $(nice), $(ionice -p $$)"`).Output()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Print(string(child))
	end.Done()
	threads.Wait()
}
