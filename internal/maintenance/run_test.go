package maintenance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

// at is a time of November 2026 in UTC; the 22nd is a Sunday.
func at(day, hour, minute int) time.Time {
	return time.Date(2026, 11, day, hour, minute, 0, 0, time.UTC)
}

// hourly calls maintain each hour and returns what ran when, as "22 03:05 backup".
func (r *rig) hourly(t *testing.T, from, until time.Time) (ran []string, last error) {
	t.Helper()
	before := map[string]int{}
	for name, list := range r.ran {
		before[name] = len(list)
	}
	for ; from.Before(until); from = from.Add(time.Hour) {
		if err := r.call(t, from); err != nil {
			last = err
		}
	}
	for name, list := range r.ran {
		for _, at := range list[before[name]:] {
			ran = append(ran, at.In(r.Zone).Format("02 15:04 ")+name)
		}
	}
	slices.Sort(ran)
	return ran, last
}

func expect(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("ran %q, want %q", got, want)
	}
}

func (r *rig) record(t *testing.T) job.Record {
	t.Helper()
	records, err := job.Read(r.Runner.StateDir)
	if err != nil || len(records) != 1 {
		t.Fatal(records, err)
	}
	return records[0]
}

func TestNothingRunsBecauseItIsNew(t *testing.T) {
	r := newRig(t, time.UTC, "maintenance: {daily: {tasks: [tmp]}}")
	ran, err := r.hourly(t, at(22, 2, 5), at(23, 2, 0))
	expect(t, ran)
	if _, none := os.Stat(filepath.Join(r.Runner.StateDir, "jobs")); err != nil || none == nil {
		t.Error("a call without anything to do leaves a record", err)
	}
	ran, _ = r.hourly(t, at(23, 2, 5), at(23, 23, 0))
	expect(t, ran, "23 02:05 tmp")
	// A task that joins is new as well, and one that comes back is.
	r.Settings.Monthly.Tasks = []string{"prune"}
	r.Settings.Monthly.At = "0 4 20 * *"
	ran, _ = r.hourly(t, at(23, 23, 5), at(24, 4, 0))
	expect(t, ran, "24 02:05 tmp")
}

// A failure is told and does not stop the others. It is tried again after an hour, six and a day, and then at its next turn;
// one that disturbs users only then.
func TestFailures(t *testing.T) {
	r := newRig(t, time.UTC, "maintenance: {daily: {tasks: []}, weekly: {tasks: [tmp, logs, package-upgrades, prune]}}")
	r.fail = map[string]bool{"logs": true, "package-upgrades": true}
	_, _ = r.hourly(t, at(22, 0, 5), at(22, 3, 0))
	err := r.call(t, at(22, 3, 5))
	if err == nil || !strings.Contains(err.Error(), "2 tasks failed (logs, package-upgrades)") {
		t.Error(err)
	}
	record := r.record(t)
	if record.State != job.Failed || len(record.Steps) != 4 || record.Steps[1].Error != "broken" || record.Steps[3].Error != "" {
		t.Errorf("%+v", record)
	}
	ran, _ := r.hourly(t, at(22, 4, 5), at(29, 3, 0))
	expect(t, ran, "22 04:05 logs", "22 10:05 logs", "23 10:05 logs")
	r.fail = nil
	ran, err = r.hourly(t, at(29, 3, 5), at(30, 3, 0))
	expect(t, ran, "29 03:05 logs", "29 03:05 package-upgrades", "29 03:05 prune", "29 03:05 tmp")
	if err != nil || r.record(t).State != job.OK {
		t.Error(err)
	}
}

// A run that was killed has been an attempt, and disturbs nobody twice.
func TestKilled(t *testing.T) {
	r := newRig(t, time.UTC, "maintenance: {daily: {tasks: []}, weekly: {tasks: [backup, service-restarts, prune]}}")
	_ = r.call(t, at(22, 0, 5))
	r.now = at(22, 3, 5)
	list, _, err := r.look(&state{})
	if err != nil || len(list) != 3 {
		t.Fatal(list, err)
	}
	memory, err := readState(r.Runner.StateDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"backup", "service-restarts"} {
		weekly, _ := config.ParseCron("0 3 * * 0")
		memory.Tasks["weekly/"+name].begin(weekly, r.now, r.Zone)
	}
	if err := memory.write(r.Runner.StateDir, -1); err != nil {
		t.Fatal(err)
	}
	ran, _ := r.hourly(t, at(22, 4, 5), at(29, 3, 0))
	expect(t, ran, "22 04:05 backup", "22 04:05 prune")
}

func TestDisruptiveWaitsForTheWindow(t *testing.T) {
	r := newRig(t, time.UTC, "maintenance: {window: '22:00-04:00', daily: {tasks: []}, weekly: {at: '0 12 * * 0', tasks: [backup, package-upgrades]}}")
	ran, _ := r.hourly(t, at(22, 0, 5), at(24, 0, 0))
	expect(t, ran, "22 12:05 backup", "22 22:05 package-upgrades")
	// One that has to wait for a long one before it misses the window.
	r.Settings.Weekly.At = "0 3 * * 2"
	backup := find(r.Tasks, "backup")
	backup.Run = func(context.Context, *job.Run) error {
		r.ran["backup"] = append(r.ran["backup"], r.now)
		r.now = at(24, 5, 0)
		return nil
	}
	_ = r.call(t, at(24, 2, 5))
	ran, _ = r.hourly(t, at(24, 3, 5), at(24, 4, 0))
	expect(t, ran, "24 03:05 backup")
	ran, _ = r.hourly(t, at(24, 5, 5), at(25, 5, 0))
	expect(t, ran, "24 22:05 package-upgrades")
}

// While a job is at work on a site, services are left alone; also a task that finds its site locked was not begun.
func TestLockedSite(t *testing.T) {
	r := newRig(t, time.UTC, "maintenance: {daily: {tasks: []}, weekly: {at: '0 2 * * 0', tasks: [service-restarts, moodle-update, prune]}}")
	_ = r.call(t, at(22, 0, 5))
	lock, err := job.Acquire(filepath.Join(r.Runner.LockDir, "test.lock"))
	if err != nil {
		t.Fatal(err)
	}
	update := find(r.Tasks, "moodle-update")
	free := update.Run
	update.Run = func(context.Context, *job.Run) error { return fmt.Errorf("update test: %w", job.ErrLocked) }
	ran, err := r.hourly(t, at(22, 2, 5), at(22, 4, 0))
	expect(t, ran, "22 02:05 prune")
	if err != nil {
		t.Error(err)
	}
	lock.Release()
	update.Run = free
	ran, _ = r.hourly(t, at(22, 4, 5), at(23, 4, 0))
	expect(t, ran, "22 04:05 moodle-update", "22 04:05 service-restarts")
	if onlyLocked(errors.Join(job.ErrLocked, errors.New("broken"))) || !onlyLocked(errors.Join(job.ErrLocked, fmt.Errorf("x: %w", job.ErrLocked))) {
		t.Error("one of two sites that is locked is not all that was in the way of both")
	}
}

// A host whose lock is held says nothing under cron; whoever asks for a run is told.
func TestLockedHost(t *testing.T) {
	r := newRig(t, time.UTC, "")
	_ = r.call(t, at(22, 0, 5))
	lock, err := job.Acquire(filepath.Join(r.Runner.LockDir, "_host.lock"))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.call(t, at(22, 2, 5)); err != nil {
		t.Error(err)
	}
	r.Now = "daily"
	if err := r.call(t, at(22, 2, 5)); !errors.Is(err, job.ErrLocked) {
		t.Error(err)
	}
	lock.Release()
	r.Now = ""
	ran, _ := r.hourly(t, at(22, 3, 5), at(22, 5, 0))
	expect(t, ran, "22 03:05 logs", "22 03:05 package-lists", "22 03:05 tmp")
}

func TestNow(t *testing.T) {
	r := newRig(t, time.UTC, "maintenance: {weekly: {tasks: [package-upgrades]}}")
	r.Now = "weekly"
	ran, err := r.hourly(t, at(22, 2, 30), at(22, 3, 0))
	expect(t, ran, "22 02:30 package-upgrades")
	if err != nil {
		t.Error(err)
	}
	r.Now = ""
	ran, _ = r.hourly(t, at(22, 3, 5), at(23, 1, 0)) // its turn is still to come
	expect(t, ran, "22 03:05 package-upgrades")
	r.Now = "weekly"
	ran, _ = r.hourly(t, at(28, 12, 0), at(28, 12, 30)) // outside the window
	expect(t, ran, "28 12:00 package-upgrades")
	r.Now = "yearly"
	if err := r.call(t, at(28, 13, 0)); !errors.Is(err, ErrNoSchedule) {
		t.Error(err)
	}
}

// The announced end is in the record while users are disturbed, and only then.
func TestAnnounced(t *testing.T) {
	r := newRig(t, time.UTC, "maintenance: {daily: {tasks: []}, weekly: {tasks: [backup, package-upgrades, prune]}}")
	seen := map[string]string{}
	r.Runner.Watch = func(record job.Record) {
		if last := len(record.Steps) - 1; last >= 0 && record.Steps[last].Ended == nil {
			until := "open"
			if record.PlannedUntil != nil {
				until = record.PlannedUntil.Format("15:04")
			}
			seen[record.Steps[last].Name] = until
		}
	}
	_, err := r.hourly(t, at(22, 2, 5), at(22, 4, 0))
	if want := "map[backup:open package-upgrades:05:00 prune:open]"; err != nil || fmt.Sprint(seen) != want {
		t.Errorf("announced %v, want %s (%v)", seen, want, err)
	}
}

// A clock that is put back by minutes repeats nothing; one that was years ahead does not keep everything from running.
func TestClockJumps(t *testing.T) {
	r := newRig(t, time.UTC, "maintenance: {daily: {tasks: [tmp]}}")
	_ = r.call(t, at(22, 0, 5))
	ran, _ := r.hourly(t, at(22, 2, 5), at(22, 3, 0))
	expect(t, ran, "22 02:05 tmp")
	ran, _ = r.hourly(t, at(22, 1, 50), at(23, 2, 0)) // put back over the hour that has been
	expect(t, ran)
	ran, _ = r.hourly(t, at(23, 2, 5), at(23, 3, 0))
	expect(t, ran, "23 02:05 tmp")
	_ = r.call(t, at(23, 12, 0).AddDate(5, 0, 0)) // a clock without battery, or a typing error
	ran, _ = r.hourly(t, at(23, 13, 5), at(25, 0, 0))
	expect(t, ran, "24 02:05 tmp")
}

func TestBrokenState(t *testing.T) {
	r := newRig(t, time.UTC, "maintenance: {daily: {tasks: [tmp]}}")
	_ = r.call(t, at(22, 0, 5))
	var said bytes.Buffer
	r.Runner.Logger = logger(&said)
	for _, content := range []string{"", "{", `{"format":2}`, "null", `{"format":1,"tasks":{"daily/tmp":null}}`, `{"format":1,"tasks":{"daily/tmp":{"attempts":-1,"settled":"2026-11-21T00:00:00Z"}}}`} {
		if err := os.WriteFile(statePath(r.Runner.StateDir), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := r.call(t, at(22, 1, 5)); err != nil {
			t.Errorf("%q: %v", content, err)
		}
	}
	if count := strings.Count(said.String(), "housekeeping starts anew"); count != 4 {
		t.Errorf("said %d times:\n%s", count, said.String())
	}
	ran, _ := r.hourly(t, at(22, 2, 5), at(22, 4, 0))
	expect(t, ran, "22 02:05 tmp")
}

// What cannot be remembered is not done: it would be done again every hour.
func TestStateThatCannotBeWritten(t *testing.T) {
	r := newRig(t, time.UTC, "maintenance: {daily: {tasks: [tmp]}}")
	_ = r.call(t, at(22, 0, 5))
	r.Settings.Daily.Tasks = []string{"tmp", "logs"}
	if err := errors.Join(os.Remove(statePath(r.Runner.StateDir)), os.MkdirAll(statePath(r.Runner.StateDir), 0o700)); err != nil {
		t.Fatal(err)
	}
	ran, err := r.hourly(t, at(22, 2, 5), at(22, 4, 0))
	expect(t, ran)
	if err == nil {
		t.Error("nothing was said")
	}
}

func TestPartialIsNoExcuse(t *testing.T) {
	partial := Failure{"backup", fmt.Errorf("lms: %w", job.ErrPartial)}
	if !errors.Is(Failures{partial}, job.ErrPartial) {
		t.Error("a backup that lacks files is a success")
	}
	if errors.Is(Failures{partial, {"package-upgrades", errors.New("broken")}}, job.ErrPartial) {
		t.Error("a failed upgrade is hidden by a backup that lacks files")
	}
}

func TestPreview(t *testing.T) {
	r := newRig(t, zone(t, "Europe/Berlin"), "maintenance: {weekly: {tasks: [package-upgrades]}, monthly: {tasks: [tmp]}}")
	_ = r.call(t, at(22, 0, 5))
	r.now = at(22, 4, 30)
	var text bytes.Buffer
	if err := Preview(t.Context(), r.Options, &text); err != nil {
		t.Fatal(err)
	}
	want := `tmp: daily, due now
    would run
logs: daily, due now
    would run
package-lists: daily, due now
    would run
package-upgrades: weekly, next Mon 2026-11-23 02:00 CET, only within 02:00-05:00
    would run
`
	if text.String() != want || len(r.ran) != 0 {
		t.Errorf("%s\nran %v", text.String(), r.ran)
	}
	r.Settings.Monthly.Tasks = []string{"drill"}
	r.Tasks = slices.DeleteFunc(r.Tasks, func(task Task) bool { return task.Name == "drill" })
	if err := Preview(t.Context(), r.Options, &text); err == nil || !strings.Contains(err.Error(), `cannot do "drill" yet`) {
		t.Error(err)
	}
}
