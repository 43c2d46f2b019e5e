package service

import (
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"
)

// NotFound is the state of a unit that systemd does not know.
const NotFound = "not-found"

// States are all that a unit can be in: systemd's ActiveState, and NotFound.
func States() []string {
	return []string{"active", "reloading", "activating", "deactivating", "inactive", "failed", "maintenance", NotFound}
}

// Unit is what systemd says about a unit. What it does not count is nil.
type Unit struct {
	Name  string // as asked for, with its suffix
	State string // one of States
	// Started is when the unit became active; zero if it is not, or never was.
	Started  time.Time
	Restarts *uint64 // automatic ones, NRestarts
	Memory   *uint64 // bytes
	Tasks    *uint64
	CPU      *time.Duration
	MainPID  uint32 // 0 for none
}

// Up is true of a unit that does its work: active, or re-reading its configuration.
func (u Unit) Up() bool { return u.State == "active" || u.State == "reloading" }

// Name completes a unit's name as systemctl does: nginx is nginx.service.
func Name(name string) string {
	for _, suffix := range []string{".service", ".socket", ".timer", ".mount", ".automount", ".path", ".target", ".slice", ".scope", ".swap", ".device"} {
		if strings.HasSuffix(name, suffix) {
			return name
		}
	}
	return name + ".service"
}

// askable is what systemd accepts as the name of a unit that is no template, systemd.unit(5). It would leave out
// another name without a word, or refuse the whole question.
var askable = regexp.MustCompile(`^[a-zA-Z0-9:_.\\-]+(@[a-zA-Z0-9:_.\\-]+)?\.[a-z]+$`)

// Units reads the named units, in the order of the names and each once. A name that systemd does not know is a unit in
// the state NotFound. With an error about some unit's counters all states are still valid; otherwise there are no units.
func (b *Bus) Units(ctx context.Context, names []string) ([]Unit, error) {
	var units []Unit
	var incomplete error
	err := b.ask(ctx, func(ctx context.Context, systemd *dbus.Conn) error {
		read, partly, err := read(ctx, systemd, names)
		if err == nil {
			units, incomplete = read, partly
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return units, incomplete
}

// read asks for all states in one call, and then for the counters of each unit that is there. Thousands of units are
// counted for half of the time there is, and for the rest of them only the states are told: those must not be lost with
// their counters.
func read(ctx context.Context, systemd *dbus.Conn, names []string) (units []Unit, partly, err error) {
	at := make(map[string]int, len(names))
	var known []string
	for _, name := range names {
		name = Name(name)
		if _, taken := at[name]; taken {
			continue
		}
		at[name] = len(units)
		units = append(units, Unit{Name: name, State: NotFound})
		if len(name) < 256 && askable.MatchString(name) {
			known = append(known, name)
		}
	}
	if len(known) == 0 {
		return units, nil, nil
	}
	list, err := systemd.ListUnitsByNamesContext(ctx, known)
	if err != nil {
		return nil, nil, fmt.Errorf("list units: %w", err)
	}
	if len(list) != len(known) {
		return nil, nil, fmt.Errorf("list units: systemd answered for %d of %d names", len(list), len(known))
	}
	// systemd answers in the order of the question, with its own name for a unit that was asked for by an alias.
	var there []counting
	for i, status := range list {
		if status.LoadState == NotFound && status.ActiveState == "inactive" {
			continue
		}
		u := &units[at[known[i]]]
		u.State = state(status.ActiveState)
		there = append(there, counting{u, status.Name})
	}
	return units, countAll(ctx, systemd, there), nil
}

// counting is a unit whose counters are to be read, under the name that systemd has for it.
type counting struct {
	unit *Unit
	id   string
}

func countAll(ctx context.Context, systemd *dbus.Conn, there []counting) (partly error) {
	if deadline, limited := ctx.Deadline(); limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Until(deadline)/2)
		defer cancel()
	}
	for i, c := range there {
		err := c.unit.count(ctx, systemd, c.id)
		if ctx.Err() != nil {
			return errors.Join(partly, fmt.Errorf("read units: the counters of %d of %d were not answered in time", len(there)-i, len(there)))
		}
		if err != nil {
			partly = errors.Join(partly, fmt.Errorf("read unit %s: %w", c.unit.Name, err))
		}
	}
	return partly
}

// state maps states that are newer than States: refreshing, of systemd 257, is at work on its mounts while active.
func state(active string) string {
	if active == "refreshing" {
		return "reloading"
	}
	return active
}

// properties of org.freedesktop.systemd1(5) that are read of each unit that is there. They are asked for one by one:
// all of a unit are some 350, which takes systemd and us three times as long.
var properties = []struct {
	kind, name string
	take       func(u *Unit, value any)
}{
	{"Unit", "ActiveEnterTimestamp", func(u *Unit, value any) {
		if entered, ok := value.(uint64); ok && entered > 0 && u.Up() {
			u.Started = time.UnixMicro(int64(min(entered, math.MaxInt64)))
		}
	}},
	{"Service", "NRestarts", func(u *Unit, value any) {
		if restarts, ok := value.(uint32); ok {
			u.Restarts = new(uint64(restarts))
		}
	}},
	{"Service", "MainPID", func(u *Unit, value any) { u.MainPID, _ = value.(uint32) }},
	{"Service", "MemoryCurrent", func(u *Unit, value any) { u.Memory = counted(value) }},
	{"Service", "TasksCurrent", func(u *Unit, value any) { u.Tasks = counted(value) }},
	{"Service", "CPUUsageNSec", func(u *Unit, value any) {
		if used := counted(value); used != nil {
			u.CPU = new(time.Duration(min(*used, math.MaxInt64)))
		}
	}},
}

// count reads the properties of the unit that systemd calls id. One that this systemd is too old for stays nil.
func (u *Unit) count(ctx context.Context, systemd *dbus.Conn, id string) error {
	for _, p := range properties {
		if p.kind == "Service" && !strings.HasSuffix(id, ".service") {
			continue
		}
		property, err := systemd.GetUnitTypePropertyContext(ctx, id, p.kind, p.name)
		var refused godbus.Error
		if errors.As(err, &refused) && refused.Name == "org.freedesktop.DBus.Error.UnknownProperty" {
			continue
		}
		if err != nil {
			return err //nolint:wrapcheck // wrapped with the unit
		}
		p.take(u, property.Value.Value())
	}
	return nil
}

// counted returns nil for 2^64-1, which is how systemd says that it does not count.
func counted(property any) *uint64 {
	n, ok := property.(uint64)
	if !ok || n == math.MaxUint64 {
		return nil
	}
	return &n
}
