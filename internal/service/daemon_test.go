package service

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"
)

const busConfig = `<busconfig><type>system</type><listen>unix:path=%s</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/></policy></busconfig>`

// daemon is a real dbus-daemon of the test's own.
type daemon struct {
	socket  string
	config  string
	process *os.Process
}

func startDaemon(t *testing.T) *daemon {
	t.Helper()
	if _, err := exec.LookPath("dbus-daemon"); err != nil {
		if os.Getenv("CI") != "" || os.Getuid() == 0 {
			t.Fatal("this test needs dbus-daemon: sudo apt-get install --no-install-recommends dbus")
		}
		t.Skip("reading units over a real bus is not tried: sudo apt-get install --no-install-recommends dbus")
	}
	dir, err := os.MkdirTemp("", "bus") // short: a socket's path has at most 107 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	d := &daemon{socket: filepath.Join(dir, "bus"), config: filepath.Join(dir, "bus.conf")}
	if err := os.WriteFile(d.config, fmt.Appendf(nil, busConfig, d.socket), 0o600); err != nil {
		t.Fatal(err)
	}
	d.start(t)
	return d
}

func (d *daemon) start(t *testing.T) {
	t.Helper()
	_ = os.Remove(d.socket)
	command := exec.Command("dbus-daemon", "--config-file="+d.config, "--nofork", "--nopidfile")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	d.process = command.Process
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGCONT)
		_ = command.Process.Kill()
		_ = command.Wait()
	})
	waitFor(t, "dbus-daemon", func() bool {
		conn, err := net.Dial("unix", d.socket)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
}

// manager answers on the bus as systemd does; what it says was taken from systemd 252.
type manager struct {
	units map[string]dbus.UnitStatus
	files []dbus.UnitFile
	mute  chan struct{} // if not nil, no question is answered until it is closed
}

func (m *manager) ListUnitsByNames(names []string) ([]dbus.UnitStatus, *godbus.Error) {
	if m.mute != nil {
		<-m.mute
	}
	var list []dbus.UnitStatus
	for _, name := range names {
		if strings.ContainsAny(name, " /") {
			continue // as systemd: not a word about an impossible name
		}
		if strings.Contains(name, "@.") {
			return nil, godbus.NewError("org.freedesktop.DBus.Error.InvalidArgs", []any{"Unit name " + name + " is missing the instance name."})
		}
		status, known := m.units[name]
		if !known {
			status = dbus.UnitStatus{Name: name, LoadState: "not-found", ActiveState: "inactive", SubState: "dead"}
		}
		status.Path, status.JobPath = objectPath(status.Name), "/"
		list = append(list, status)
	}
	return list, nil
}

func (m *manager) ListUnitsByPatterns(states, patterns []string) ([]dbus.UnitStatus, *godbus.Error) {
	var list []dbus.UnitStatus
	for _, status := range m.units {
		if slices.Contains(states, status.ActiveState) && matches(patterns, status.Name) {
			status.Path, status.JobPath = objectPath(status.Name), "/"
			list = append(list, status)
		}
	}
	return list, nil
}

func (m *manager) ListUnitFilesByPatterns(states, patterns []string) ([]dbus.UnitFile, *godbus.Error) {
	var list []dbus.UnitFile
	for _, file := range m.files {
		if slices.Contains(states, file.Type) && matches(patterns, path.Base(file.Path)) {
			list = append(list, file)
		}
	}
	return list, nil
}

func matches(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { ok, _ := path.Match(p, name); return ok })
}

func objectPath(unit string) godbus.ObjectPath {
	return godbus.ObjectPath("/org/freedesktop/systemd1/unit/" + dbus.PathBusEscape(unit))
}

// values are the properties of each unit.
type values map[string]map[string]any

func (v values) Get(message godbus.Message, _, property string) (godbus.Variant, *godbus.Error) {
	at := message.Headers[godbus.FieldPath].Value().(godbus.ObjectPath)
	for unit, values := range v {
		if objectPath(unit) != at {
			continue
		}
		if value, there := values[property]; there {
			return godbus.MakeVariant(value), nil
		}
		return godbus.Variant{}, godbus.NewError("org.freedesktop.DBus.Error.UnknownProperty", []any{"Unknown property " + property})
	}
	return godbus.Variant{}, godbus.NewError("org.freedesktop.DBus.Error.UnknownObject", []any{"Unknown object " + string(at)})
}

func serve(t *testing.T, d *daemon, m *manager, properties any) {
	t.Helper()
	conn, err := godbus.Connect("unix:path=" + d.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.Export(m, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"); err != nil {
		t.Fatal(err)
	}
	if err := conn.ExportSubtree(properties, "/org/freedesktop/systemd1/unit", "org.freedesktop.DBus.Properties"); err != nil {
		t.Fatal(err)
	}
	if reply, err := conn.RequestName("org.freedesktop.systemd1", godbus.NameFlagDoNotQueue); err != nil || reply != godbus.RequestNameReplyPrimaryOwner {
		t.Fatalf("own the name of systemd: %v, %v", reply, err)
	}
}

func status(name, load, active string) dbus.UnitStatus {
	return dbus.UnitStatus{Name: name, Description: name, LoadState: load, ActiveState: active, SubState: "x"}
}

func oneUnit(active string) *manager {
	return &manager{units: map[string]dbus.UnitStatus{"nginx.service": status("nginx.service", "loaded", active)}}
}
