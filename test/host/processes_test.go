package host

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// processes looks at all processes of the machine again and again, at what any user may read of them and at more.
type processes struct {
	finder finder
	stop   atomic.Bool
	done   chan struct{}
	once   sync.Once

	looks int // valid after end
	mu    sync.Mutex
	seen  map[string]bool // programs, by name
	known map[string]bool // processes that were looked at, by pid and arguments
	leaks map[string]bool
}

func watchProcesses(f finder) *processes {
	w := &processes{finder: f, done: make(chan struct{}), seen: map[string]bool{}, known: map[string]bool{}, leaks: map[string]bool{}}
	go func() {
		defer close(w.done)
		for !w.stop.Load() {
			w.look()
			w.looks++
		}
	}()
	return w
}

func (w *processes) end() {
	w.once.Do(func() { w.stop.Store(true); <-w.done })
}

func (w *processes) look() {
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return // said by the count of the programs seen
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, dir := range dirs {
		pid := dir.Name()
		if pid[0] < '0' || pid[0] > '9' {
			continue
		}
		arguments, err := os.ReadFile(filepath.Join("/proc", pid, "cmdline"))
		if err != nil || len(arguments) == 0 {
			continue // gone, or a thread of the kernel
		}
		process := pid + " " + string(arguments)
		if w.known[process] {
			continue
		}
		program, _, _ := bytes.Cut(arguments, []byte{0})
		w.seen[filepath.Base(string(program))] = true
		environment, _ := os.ReadFile(filepath.Join("/proc", pid, "environ"))
		// A program that is just being started has its arguments before its environment.
		w.known[process] = len(environment) > 0
		for part, content := range map[string][]byte{"cmdline": arguments, "environ": environment} {
			if form, found := w.finder.in(content); found {
				w.leaks[fmt.Sprintf("%s of %s (%s)", part, program, form)] = true
			}
		}
	}
}

// has says whether a leak was found in that place, in whatever form.
func (w *processes) has(place string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.found(), func(leak string) bool { return strings.HasPrefix(leak, place+" ") })
}

func (w *processes) found() []string { return slices.Sorted(maps.Keys(w.leaks)) }

func (w *processes) programs() []string { return slices.Sorted(maps.Keys(w.seen)) }

// saw says whether a program whose name begins so was there.
func (w *processes) saw(program string) bool {
	return slices.ContainsFunc(w.programs(), func(name string) bool { return strings.HasPrefix(name, program) })
}
