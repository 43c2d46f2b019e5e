package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

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
		t.Skip("no dbus-daemon here: sudo apt-get install --no-install-recommends dbus")
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

func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for: %s", what)
		}
	}
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

func serve(t *testing.T, d *daemon, m *manager, p values) {
	t.Helper()
	conn, err := godbus.Connect("unix:path=" + d.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.Export(m, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager"); err != nil {
		t.Fatal(err)
	}
	if err := conn.ExportSubtree(p, "/org/freedesktop/systemd1/unit", "org.freedesktop.DBus.Properties"); err != nil {
		t.Fatal(err)
	}
	if reply, err := conn.RequestName("org.freedesktop.systemd1", godbus.NameFlagDoNotQueue); err != nil || reply != godbus.RequestNameReplyPrimaryOwner {
		t.Fatalf("own the name of systemd: %v, %v", reply, err)
	}
}

func status(name, load, active string) dbus.UnitStatus {
	return dbus.UnitStatus{Name: name, Description: name, LoadState: load, ActiveState: active, SubState: "x"}
}

func TestUnits(t *testing.T) {
	d := startDaemon(t)
	serve(t, d, &manager{units: map[string]dbus.UnitStatus{
		"nginx.service":          status("nginx.service", "loaded", "active"),
		"mysql.service":          status("mariadb.service", "loaded", "reloading"), // asked for by its alias
		"mariadb.service":        status("mariadb.service", "loaded", "reloading"),
		"cron.service":           status("cron.service", "loaded", "failed"),
		"removed.service":        status("removed.service", "not-found", "active"), // its file was deleted under it
		"masked.service":         status("masked.service", "masked", "inactive"),
		"new.service":            status("new.service", "loaded", "refreshing"),
		"vanished.service":       status("vanished.service", "loaded", "active"),
		"php8.2-fpm.service":     status("php8.2-fpm.service", "loaded", "activating"),
		"logrotate.timer":        status("logrotate.timer", "loaded", "active"),
		"redis-server@a.service": status("redis-server@a.service", "loaded", "deactivating"),
	}}, values{
		"nginx.service": {
			"ActiveEnterTimestamp": uint64(1795359535123456), "NRestarts": uint32(3), "MainPID": uint32(42),
			"MemoryCurrent": uint64(1 << 20), "TasksCurrent": uint64(5), "CPUUsageNSec": uint64(2500000000),
		},
		"mariadb.service": {
			"ActiveEnterTimestamp": uint64(0), "NRestarts": uint32(0), "MainPID": uint32(43),
			"MemoryCurrent": uint64(math.MaxUint64), "TasksCurrent": uint64(math.MaxUint64), "CPUUsageNSec": uint64(math.MaxUint64),
		},
		"cron.service":    {"ActiveEnterTimestamp": uint64(1795359535000000), "NRestarts": uint32(5)},
		"removed.service": {}, "masked.service": {}, "new.service": {}, "php8.2-fpm.service": {}, "redis-server@a.service": {},
		"logrotate.timer": {"NRestarts": "not a number", "MemoryCurrent": int64(-1)},
	})
	bus := NewBus(d.socket)
	t.Cleanup(bus.Close)
	asked := []string{
		"nginx", "mysql.service", "cron.service", "nginx.service", "missing", "removed", "masked", "new", "impossible name",
		"redis-server@.service", "redis-server@a", "php8.2-fpm", "logrotate.timer", "vanished", "../etc", "", strings.Repeat("x", 300),
	}
	units, err := bus.Units(t.Context(), asked)
	if err == nil || !strings.Contains(err.Error(), "vanished.service") {
		t.Errorf("the unit without properties is not named: %v", err)
	}
	want := []string{
		"nginx.service active", "mysql.service reloading", "cron.service failed", "missing.service not-found", "removed.service active",
		"masked.service inactive", "new.service reloading", "impossible name.service not-found", "redis-server@.service not-found",
		"redis-server@a.service deactivating", "php8.2-fpm.service activating", "logrotate.timer active", "vanished.service active",
		"../etc.service not-found", ".service not-found", strings.Repeat("x", 300) + ".service not-found",
	}
	got := make([]string, 0, len(units))
	for _, u := range units {
		got = append(got, u.Name+" "+u.State)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got  %q\nwant %q", got, want)
	}
	nginx, mysql, cron, timer := units[0], units[1], units[2], units[11]
	if !nginx.Started.Equal(time.UnixMicro(1795359535123456)) || *nginx.Restarts != 3 || nginx.MainPID != 42 ||
		*nginx.Memory != 1<<20 || *nginx.Tasks != 5 || *nginx.CPU != 2500*time.Millisecond || !nginx.Up() {
		t.Errorf("nginx: %+v", nginx)
	}
	if !mysql.Started.IsZero() || *mysql.Restarts != 0 || mysql.Memory != nil || mysql.Tasks != nil || mysql.CPU != nil || !mysql.Up() {
		t.Errorf("mysql: %+v", mysql)
	}
	if !cron.Started.IsZero() || *cron.Restarts != 5 || cron.Up() {
		t.Errorf("cron: %+v", cron)
	}
	if timer.Restarts != nil || timer.Memory != nil {
		t.Errorf("timer: %+v", timer)
	}
}

func TestDiscover(t *testing.T) {
	d := startDaemon(t)
	serve(t, d, &manager{
		files: []dbus.UnitFile{
			{Path: "/usr/lib/systemd/system/nginx.service", Type: "enabled"},
			{Path: "/usr/lib/systemd/system/php8.2-fpm.service", Type: "enabled"},
			{Path: "/usr/lib/systemd/system/php8.1-fpm.service", Type: "disabled"},
			{Path: "/etc/systemd/system/mysql.service", Type: "alias"},
			{Path: "/usr/lib/systemd/system/redis-server@.service", Type: "enabled"},
			{Path: "/usr/lib/systemd/system/ssh.service", Type: "enabled"},
		},
		units: map[string]dbus.UnitStatus{
			"nginx.service":        status("nginx.service", "loaded", "inactive"),
			"mariadb.service":      status("mariadb.service", "loaded", "active"),
			"redis-server.service": status("redis-server.service", "loaded", "failed"),
			"memcached.service":    status("memcached.service", "loaded", "inactive"),
			"ssh.service":          status("ssh.service", "loaded", "active"),
		},
	}, values{})
	bus := NewBus(d.socket)
	t.Cleanup(bus.Close)
	got, err := bus.Discover(t.Context())
	if want := []string{"mariadb.service", "nginx.service", "php8.2-fpm.service", "redis-server.service"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

func oneUnit(active string) *manager {
	return &manager{units: map[string]dbus.UnitStatus{"nginx.service": status("nginx.service", "loaded", active)}}
}

func wantActive(t *testing.T, bus *Bus) {
	t.Helper()
	units, err := bus.Units(t.Context(), []string{"nginx"})
	if err != nil || len(units) != 1 || units[0].State != "active" {
		t.Fatalf("%+v, %v", units, err)
	}
}

func TestRestartedBusCostsNoAnswer(t *testing.T) {
	d := startDaemon(t)
	serve(t, d, oneUnit("active"), values{"nginx.service": {}})
	bus := NewBus(d.socket)
	t.Cleanup(bus.Close)
	wantActive(t, bus)
	if err := d.process.Kill(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the daemon's end", func() bool { return !bus.kept.systemd.Connected() })
	d.start(t)
	serve(t, d, oneUnit("active"), values{"nginx.service": {}})
	wantActive(t, bus)
}

func TestConnectionIsKept(t *testing.T) {
	d := startDaemon(t)
	serve(t, d, oneUnit("active"), values{"nginx.service": {}})
	bus := NewBus(d.socket)
	t.Cleanup(bus.Close)
	wantActive(t, bus)
	kept := bus.kept
	for range 100 {
		wantActive(t, bus)
	}
	if bus.kept != kept {
		t.Error("each question made a new connection")
	}
}

// silence lists the ways in which a bus can be silent. Each returns a socket to ask, and the way back, if there is one.
var silence = map[string]func(t *testing.T) (socket string, wake func()){
	"accepts and never answers": func(t *testing.T) (string, func()) {
		return listen(t, func(net.Conn) {}), nil
	},
	"stops in the handshake": func(t *testing.T) (string, func()) {
		return listen(t, func(c net.Conn) {
			_, _ = c.Read(make([]byte, 100))
			_, _ = c.Write([]byte("REJECTED EXTERNAL\r\n"))
		}), nil
	},
	"never accepts": func(t *testing.T) (string, func()) {
		socket := filepath.Join(shortDir(t), "bus")
		listener, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
		return socket, nil
	},
	"stopped daemon": func(t *testing.T) (string, func()) {
		d := startDaemon(t)
		serve(t, d, oneUnit("active"), values{"nginx.service": {}})
		if err := d.process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		return d.socket, func() { _ = d.process.Signal(syscall.SIGCONT) }
	},
	"systemd busy": func(t *testing.T) (string, func()) {
		d := startDaemon(t)
		m := oneUnit("active")
		m.mute = make(chan struct{})
		serve(t, d, m, values{"nginx.service": {}})
		return d.socket, func() { close(m.mute) }
	},
}

func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "bus")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func listen(t *testing.T, greet func(net.Conn)) (socket string) {
	t.Helper()
	socket = filepath.Join(shortDir(t), "bus")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				greet(conn)
				_, _ = io.Copy(io.Discard, conn) // until the other side gives up
			}()
		}
	}()
	return socket
}

func TestSilentBus(t *testing.T) {
	for name, silent := range silence {
		t.Run(name, func(t *testing.T) {
			socket, wake := silent(t)
			bus := NewBus(socket)
			t.Cleanup(bus.Close)
			ask := func() error {
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				_, err := bus.Units(ctx, []string{"nginx"})
				return err
			}
			if err := ask(); !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("the error is %v", err)
			}
			goroutines, files := runtime.NumGoroutine(), openFiles(t)
			for range 10 {
				if err := ask(); err == nil {
					t.Fatal("a silent bus has answered")
				}
			}
			if wake != nil {
				wake()
				wantActive(t, bus)
				return
			}
			waitFor(t, "goroutines and files to be as few as after the first question", func() bool {
				return runtime.NumGoroutine() <= goroutines && openFiles(t) <= files
			})
		})
	}
}

// A write blocks once the daemon has stopped reading, and knows no context: only the end of its socket ends it.
func TestStuckWriteIsCut(t *testing.T) {
	d := startDaemon(t)
	serve(t, d, oneUnit("active"), values{"nginx.service": {}})
	bus := NewBus(d.socket)
	t.Cleanup(bus.Close)
	wantActive(t, bus)
	if err := d.process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := bus.ask(ctx, func(context.Context, *dbus.Conn) error {
		for {
			if _, err := bus.kept.sockets[0].Write(make([]byte, 1<<20)); err != nil {
				return err
			}
		}
	})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("the error is %v", err)
	}
	if err := d.process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	wantActive(t, bus)
}

func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestNoBus(t *testing.T) {
	bus := NewBus(filepath.Join(shortDir(t), "none"))
	t.Cleanup(bus.Close)
	if units, err := bus.Units(t.Context(), []string{"nginx"}); !errors.Is(err, os.ErrNotExist) || units != nil {
		t.Errorf("%v, %v", units, err)
	}
	if _, err := bus.Discover(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestBusWithoutSystemd(t *testing.T) {
	d := startDaemon(t)
	bus := NewBus(d.socket)
	t.Cleanup(bus.Close)
	if units, err := bus.Units(t.Context(), []string{"nginx"}); err == nil || units != nil {
		t.Errorf("%v, %v", units, err)
	}
}
