package boot_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// chores are the tasks of maintain in their order; brief ones are tried in every test run.
var chores = []struct {
	name       string
	disruptive bool // not tried again by themselves
	brief      bool
	// seen is how often it was done, by something else than what maintain writes down; empty where there is nothing.
	seen string
}{
	{"tmp", false, true, ""},
	{"logs", false, true, ""},
	{"package-lists", false, true, ""},
	{"backup", false, false, "runs backup"},
	{"package-upgrades", true, true, "grep -c '^apt-get -q -y .* upgrade$' /var/log/calls || true"},
	{"service-restarts", true, true, "echo $((0x$(systemctl show redis-server.service --property=InvocationID --value | cut -c 1-8)))"},
	{"moodle-update", true, false, "runs update"},
	{"certbot-renew", false, true, "grep -c '^certbot renew' /var/log/calls || true"},
	{"prune", false, false, "runs prune"},
	{"verify", false, false, "runs verify"},
	{"drill", false, false, "runs drill"},
}

// callStandIn notes how it was called, and takes its time where it would change something.
const callStandIn = `#!/bin/sh
echo "${0##*/} $*" >>/var/log/calls
case " $* " in
*" -s "*) echo 'Inst mxt-plain [1] (2 Test:1/stable [all])' ;;
*) sleep 0.3 ;;
esac
`

// keeper is a server whose housekeeping is killed.
type keeper struct {
	*updated
	tasks []string
}

// testKilledMaintain kills the housekeeping at random moments while everything is due, under systemd and without it. What
// had not begun is done by the next call, what was done is not done again, and what was under way is tried again later,
// unless it would disturb users.
func (u *updated) testKilledMaintain(t *testing.T) {
	random, wanted := kills(t, 2)
	k := &keeper{updated: u}
	for _, one := range chores {
		if one.brief || wanted > 2 {
			k.tasks = append(k.tasks, one.name)
		}
	}
	k.prepare(t)
	k.age(t, 8*24*time.Hour)
	began := time.Now()
	k.call(t, k.tasks...)
	span := time.Since(began)
	under := map[string]int{}
	for done := 0; done < wanted && !t.Failed(); {
		k.age(t, 8*24*time.Hour)
		before := k.evidence(t)
		moment := func() { time.Sleep(time.Duration(random.Int64N(int64(span)))) }
		if random.IntN(4) != 0 {
			// Some tasks take much longer than others: each has its turn.
			moment = k.within(t, k.tasks[random.IntN(len(k.tasks))], time.Duration(random.Int64N(int64(time.Second))))
		}
		if !k.kill(t, moment, done%2 == 0) {
			continue
		}
		done++
		waiting, begun := k.halfDone(t, before)
		if len(begun) > 1 {
			t.Errorf("%v are under way at once", begun)
		}
		again := slices.DeleteFunc(slices.Clone(begun), disruptive)
		k.call(t, waiting...)
		k.age(t, 31*time.Minute)
		k.call(t, again...)
		k.age(t, 7*time.Hour)
		k.call(t)
		k.nothingKept(t)
		under[strings.Join(begun, "")]++
		t.Logf("kill %d while %q was under way: %d were done, %d were left to the next call, %q was tried again", done, begun, len(k.tasks)-len(waiting)-len(begun), len(waiting), again)
	}
	k.noDrillLeft(t)
	for _, name := range slices.Sorted(maps.Keys(under)) {
		t.Logf("proof: killed %2d times in %s", under[name], cmp.Or(name, "no task"))
	}
}

func disruptive(name string) bool {
	for _, one := range chores {
		if one.name == name {
			return one.disruptive
		}
	}
	return false
}

// prepare makes the stand-ins, and lets the schedule come due four days before and three days after this day.
func (k *keeper) prepare(t *testing.T) {
	t.Helper()
	for _, name := range []string{"apt-get", "certbot"} {
		if err := k.WriteFile(t.Context(), "/usr/local/bin/"+name, []byte(callStandIn), 0o755, "root:root"); err != nil {
			t.Fatal(err)
		}
	}
	settings := fmt.Sprintf("maintenance:\n  window: 00:00-24:00\n  daily: {tasks: []}\n  monthly: {tasks: []}\n  weekly: {at: '0 3 * * %d', tasks: [%s]}\n  restart: [redis-server.service]\n",
		time.Now().AddDate(0, 0, -4).Weekday(), strings.Join(k.tasks, ", "))
	if err := k.WriteFile(t.Context(), "/etc/moodle-exporter/moodle-exporter.yml", []byte(settings), 0o640, "root:root"); err != nil {
		t.Fatal(err)
	}
	k.sh(t, "systemctl stop moodle-exporter-maintain.timer; : >/var/log/calls; rm -f /var/lib/moodle-exporter/maintenance.json")
	k.must(t, "moodle-exporter", "maintain") // the tasks are new, and not due
}

const memory = "/var/lib/moodle-exporter/maintenance.json"

// remembered is what maintain has written down of a task.
type remembered struct {
	Settled     time.Time  `json:"settled"`
	Attempts    int        `json:"attempts,omitempty"`
	Tried       *time.Time `json:"tried,omitempty"`
	Error       string     `json:"error,omitempty"`
	LastSuccess *time.Time `json:"last_success,omitempty"`
}

type memories struct {
	Format int                    `json:"format"`
	Tasks  map[string]*remembered `json:"tasks"`
}

func (k *keeper) remembered(t *testing.T) (m memories) {
	t.Helper()
	content, err := os.ReadFile(k.HostPath(memory))
	if err == nil {
		err = json.Unmarshal(content, &m)
	}
	if err != nil || len(m.Tasks) != len(k.tasks) {
		t.Fatalf("%d tasks are remembered (%v)", len(m.Tasks), err)
	}
	return m
}

// age lets a time pass: what is remembered is that much longer ago.
func (k *keeper) age(t *testing.T, by time.Duration) {
	t.Helper()
	m := k.remembered(t)
	for _, one := range m.Tasks {
		one.Settled = one.Settled.Add(-by)
		for _, at := range []*time.Time{one.Tried, one.LastSuccess} {
			if at != nil {
				*at = at.Add(-by)
			}
		}
	}
	content, err := json.Marshal(m)
	if err == nil {
		err = os.WriteFile(k.HostPath(memory), content, 0o640)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// evidence is how often each task was done, for those that leave a trace of their own, and the steps of the last of so
// many runs.
type evidence struct {
	counts map[string]int
	run    int
	steps  []string
}

func (k *keeper) evidence(t *testing.T) evidence {
	t.Helper()
	e := evidence{counts: map[string]int{}}
	script := "runs() { sed -n 's/^ *\"runs\": \\([0-9]*\\),*$/\\1/p' /var/lib/moodle-exporter/jobs/" + k.site.Name + "/$1.json 2>/dev/null || echo 0; }\n"
	var names []string
	for _, one := range chores {
		if one.seen != "" && slices.Contains(k.tasks, one.name) {
			names = append(names, one.name)
			script += "echo " + one.name + " $(" + one.seen + ")\n"
		}
	}
	for line := range strings.Lines(k.sh(t, script)) {
		name, count, _ := strings.Cut(strings.TrimSpace(line), " ")
		number, err := strconv.Atoi(count)
		if err != nil && count != "" {
			t.Errorf("%s: %v", line, err)
		}
		e.counts[name] = number
	}
	if len(e.counts) != len(names) {
		t.Errorf("seen are %v, want %v", e.counts, names)
	}
	e.run, e.steps = k.lastRun(t)
	return e
}

// lastRun is the number of the last run of maintain, and the tasks that it has begun.
func (k *keeper) lastRun(t *testing.T) (run int, steps []string) {
	t.Helper()
	var record struct {
		Runs  int
		Steps []struct{ Name string }
	}
	content, err := os.ReadFile(k.HostPath("/var/lib/moodle-exporter/jobs/_host/maintain.json"))
	if err == nil {
		err = json.Unmarshal(content, &record)
	}
	if err != nil && !os.IsNotExist(err) {
		t.Error(err)
	}
	for _, step := range record.Steps {
		steps = append(steps, step.Name)
	}
	return record.Runs, steps
}

// done are the tasks that were begun between two looks.
func (before evidence) done(t *testing.T, after evidence) (names []string) {
	t.Helper()
	for _, one := range chores {
		step := after.run != before.run && slices.Contains(after.steps, one.name)
		count, traced := after.counts[one.name]
		if step {
			names = append(names, one.name)
		}
		more := count - before.counts[one.name]
		if traced && !step && more != 0 || traced && one.name != "service-restarts" && more > 1 {
			t.Errorf("%s was done, by what it leaves, %d times; by the record of the run: %v", one.name, more, step)
		}
	}
	return names
}

// call calls maintain as the hourly timer does, and wants just these tasks to be done.
func (k *keeper) call(t *testing.T, want ...string) {
	t.Helper()
	before := k.evidence(t)
	broken, err := k.journal()
	if err != nil {
		t.Error(err)
	}
	if broken != "" {
		before.counts["moodle-update"]++ // to end one is a run of its own
	}
	out, err := k.Run(t.Context(), "moodle-exporter", "maintain")
	if said := out.Stdout + out.Stderr; err != nil || out.ExitCode != 0 || broken == "" && said != "" || broken != "" && !strings.Contains(said, "was broken off") {
		t.Errorf("maintain ends with %d (%v): %s%s", out.ExitCode, err, out.Stdout, out.Stderr)
	}
	after := k.evidence(t)
	if done := before.done(t, after); !slices.Equal(done, want) {
		t.Errorf("done are %v, want %v", done, want)
	}
	for _, name := range want {
		if after.counts[name] == before.counts[name] && k.traced(name) {
			t.Errorf("%s has left no trace", name)
		}
	}
}

func (k *keeper) traced(name string) bool {
	for _, one := range chores {
		if one.name == name {
			return one.seen != ""
		}
	}
	return false
}

// within waits until the next run has begun a task, and then a while.
func (k *keeper) within(t *testing.T, task string, delay time.Duration) func() {
	before, _ := k.lastRun(t)
	return func() {
		if err := pollFor(t, k.Machine, func() error {
			if run, steps := k.lastRun(t); run == before || !slices.Contains(steps, task) {
				return fmt.Errorf("%s is not begun: %v", task, steps)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		time.Sleep(delay)
	}
}

// kill begins the housekeeping and kills it at a moment; not so if it has ended by then. Under systemd what it has started
// dies with it; else that works on, and keeps its locks as long.
func (k *keeper) kill(t *testing.T, moment func(), unit bool) bool {
	t.Helper()
	command, pid := []string{"moodle-exporter", "maintain"}, "pgrep -f '^moodle-exporter maintain'"
	if unit {
		command, pid = []string{"systemctl", "start", "moodle-exporter-maintain.service"}, "systemctl show moodle-exporter-maintain.service --property=MainPID --value"
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = k.Run(t.Context(), command...)
	}()
	moment()
	killed, err := k.Run(t.Context(), "sh", "-c", "pid=$("+pid+") && [ $pid != 0 ] && kill -9 $pid")
	<-ended
	if err != nil {
		t.Fatal(err)
	}
	// The server of a drill lives on until the next one ends it.
	free := "for lock in /run/moodle-exporter/*.lock; do flock --nonblock $lock true || { echo $lock; exit 1; }; done; ! pgrep -af /moodle-exporter-[d]rill | grep -v mariadb"
	if err := pollFor(t, k.Machine, func() error { _, err := k.Must(t.Context(), "sh", "-c", free); return err }); err != nil {
		t.Errorf("a lock is left: %v", err)
	}
	return killed.ExitCode == 0
}

// halfDone are the tasks that a killed run had not begun, and those that it had not ended, by what it has written down;
// that must be what it has done.
func (k *keeper) halfDone(t *testing.T, before evidence) (waiting, begun []string) {
	t.Helper()
	m := k.remembered(t)
	done := before.done(t, k.evidence(t))
	for _, name := range k.tasks {
		one := m.Tasks["weekly/"+name]
		switch ran := slices.Contains(done, name); {
		case time.Since(one.Settled) > 24*time.Hour:
			waiting = append(waiting, name)
			if ran {
				t.Errorf("%s was begun, and nothing of it is remembered", name)
			}
		case one.Error != "":
			begun = append(begun, name)
		case !ran:
			t.Errorf("%s is remembered as done, and was not", name)
		}
	}
	return waiting, begun
}
