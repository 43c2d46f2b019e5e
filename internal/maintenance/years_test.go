package maintenance

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

// memoryDir is a directory whose fsync costs nothing: two years have some ten thousand of them.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "maintenance")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func logger(to io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(to, nil)) }

// rig is a host with a clock of its own, and tasks that only note when they ran.
type rig struct {
	Options
	now  time.Time
	ran  map[string][]time.Time
	fail map[string]bool
}

func newRig(t *testing.T, in *time.Location, settings string) *rig {
	t.Helper()
	parsed, err := config.Parse([]byte(settings))
	if err != nil {
		t.Fatal(err)
	}
	dir := memoryDir(t)
	r := &rig{ran: map[string][]time.Time{}, fail: map[string]bool{}}
	r.Settings, r.Zone = parsed.Maintenance, in
	r.Sites = func(context.Context) []string { return []string{"lms", "test"} }
	r.Runner = &job.Runner{
		StateDir: filepath.Join(dir, "state"), LockDir: filepath.Join(dir, "locks"), ProcRoot: "/proc", Group: -1,
		Clock: func() time.Time { return r.now }, Logger: logger(io.Discard),
	}
	for _, name := range config.MaintenanceTasks {
		r.Tasks = append(r.Tasks, Task{
			Name: name, Disruptive: slices.Contains([]string{"package-upgrades", "service-restarts", "moodle-update"}, name), Alone: name == "service-restarts",
			Run: func(context.Context, *job.Run) error {
				r.ran[name] = append(r.ran[name], r.now)
				if r.fail[name] {
					return errors.New("broken")
				}
				return nil
			},
			Preview: func(_ context.Context, to io.Writer) error { _, err := fmt.Fprintln(to, "would run"); return err },
		})
	}
	return r
}

func (r *rig) call(t *testing.T, at time.Time) error {
	t.Helper()
	r.now = at
	return Run(t.Context(), r.Options)
}

// comesDue is when a schedule comes due, found in another way: by looking at the wall in every minute of the two years. A
// minute counts when it is first shown, and one that is passed over when the next one is.
func comesDue(expression string, from, until time.Time, in *time.Location) []time.Time {
	due := matcher(expression)
	var list []time.Time
	shown := onWall(from, in).Truncate(time.Minute)
	for at := from.Truncate(time.Minute); !at.After(until); at = at.Add(time.Minute) {
		_, offset := at.In(in).Zone()
		wall, found := at.UTC().Add(time.Duration(offset)*time.Second), false
		for ; shown.Before(wall); shown = shown.Add(time.Minute) {
			found = due(shown.Add(time.Minute)) || found
		}
		if found {
			list = append(list, at)
		}
	}
	return list
}

// matcher knows numbers and stars.
func matcher(expression string) func(time.Time) bool {
	var want [5]int
	for i, field := range strings.Fields(expression) {
		number, err := strconv.Atoi(field)
		if want[i] = number; err != nil {
			want[i] = -1
		}
	}
	return func(wall time.Time) bool {
		is := func(i int, value func() int) bool { return want[i] < 0 || want[i] == value() }
		return is(0, wall.Minute) && is(1, wall.Hour) && is(2, wall.Day) &&
			is(3, func() int { return int(wall.Month()) }) && is(4, func() int { return int(wall.Weekday()) })
	}
}

// expected are the first calls after a schedule of the task came due, for a disruptive one those between two and five.
func expected(r *rig, due map[string][]time.Time, calls []time.Time, task string) (ran []time.Time) {
	var all []time.Time
	for _, schedule := range r.Settings.Schedules() {
		if slices.Contains(schedule.Tasks, task) {
			all = append(all, due[schedule.Name]...)
		}
	}
	slices.SortFunc(all, time.Time.Compare)
	for _, call := range calls {
		hour := call.In(r.Zone).Hour()
		if find(r.Tasks, task).Disruptive && (hour < 2 || hour >= 5) {
			continue
		}
		found := false
		for ; len(all) > 0 && !all[0].After(call); all = all[1:] {
			found = found || all[0].After(calls[0]) // what is due at first sight is left alone
		}
		if found {
			ran = append(ran, call)
		}
	}
	return ran
}

const everything = `maintenance:
  daily: {tasks: [tmp, logs, package-lists]}
  weekly: {at: "30 2 * * 0", tasks: [backup, package-upgrades, service-restarts, tmp]}
  monthly: {tasks: [moodle-update, certbot-renew, prune, verify, drill]}
`

// TestTwoYears calls maintain every hour for two years, in zones with different summer times, at whole and odd minutes,
// on hosts that sleep for hours, days and weeks. Each task runs exactly at the first call after it came due.
func TestTwoYears(t *testing.T) {
	zones := map[string][]int{"Europe/Berlin": {0, 41}, "Australia/Lord_Howe": {30}, "Asia/Kathmandu": {0}}
	if os.Getenv("PROOF") == "full" {
		zones["UTC"], zones["America/New_York"] = []int{17}, []int{59}
	}
	for name, minutes := range zones {
		for _, minute := range minutes {
			t.Run(fmt.Sprintf("%s :%02d", name, minute), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, zone(t, name), everything)
				calls := calls(minute, minute != 0)
				for _, at := range calls {
					if err := r.call(t, at); err != nil {
						t.Fatal(at, err)
					}
				}
				due := map[string][]time.Time{}
				for _, schedule := range r.Settings.Schedules() {
					due[schedule.Name] = comesDue(schedule.At, calls[0], calls[len(calls)-1], r.Zone)
				}
				total := 0
				for _, task := range r.Tasks {
					want := expected(r, due, calls, task.Name)
					total += len(want)
					if i := difference(r.ran[task.Name], want); i >= 0 {
						t.Errorf("%s ran %d times, want %d; first difference at run %d: %v and %v", task.Name, len(r.ran[task.Name]), len(want), i,
							within(r.ran[task.Name], i).In(r.Zone), within(want, i).In(r.Zone))
					}
				}
				if total < 1000 {
					t.Errorf("only %d runs were expected in two years: this test is broken", total)
				}
			})
		}
	}
}

// calls are those of an hourly timer for two years, with gaps on a host that is asleep at times.
func calls(minute int, sleeps bool) []time.Time {
	random := rand.New(rand.NewPCG(uint64(minute), 7))
	var list []time.Time
	start := time.Date(2026, 1, 14, 10, minute, 2, 0, time.UTC)
	for at := start; at.Before(start.AddDate(2, 0, 0)); at = at.Add(time.Hour) {
		list = append(list, at)
		if sleeps && random.IntN(100) == 0 {
			at = at.Add(time.Duration(1+random.IntN(24*[]int{1, 3, 40}[random.IntN(3)])) * time.Hour)
		}
	}
	return list
}

func difference(got, want []time.Time) int {
	for i := range max(len(got), len(want)) {
		if !within(got, i).Equal(within(want, i)) {
			return i
		}
	}
	return -1
}

func within(list []time.Time, i int) time.Time {
	if i < len(list) {
		return list[i]
	}
	return time.Time{}
}

// Two instances that are called at once do the work once between them, and neither complains.
func TestTwoInstances(t *testing.T) {
	r := newRig(t, time.UTC, everything)
	var ran atomic.Int64
	for i := range r.Tasks {
		r.Tasks[i].Run = func(context.Context, *job.Run) error { ran.Add(1); return nil }
	}
	at := time.Date(2026, 11, 22, 1, 0, 0, 0, time.UTC)
	if err := r.call(t, at); err != nil || ran.Load() != 0 {
		t.Fatalf("the first call ran %d tasks: %v", ran.Load(), err)
	}
	for day := range 20 {
		before := ran.Load()
		r.now = at.AddDate(0, 0, day).Add(time.Hour)
		results := make(chan error)
		for range 4 {
			go func() { results <- Run(t.Context(), r.Options) }()
		}
		for range 4 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		want := int64(3)
		if r.now.Weekday() == time.Monday || r.now.Day() == 2 {
			continue // what came due later on the day before is done too
		}
		if got := ran.Load() - before; got != want {
			t.Errorf("%s: %d tasks ran, want %d", r.now, got, want)
		}
	}
}
