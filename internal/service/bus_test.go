package service

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"github.com/coreos/go-systemd/v22/dbus"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !condition(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for: %s", what)
		}
	}
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
	stand.Answer(t, listener, func(c net.Conn) {
		greet(c)
		_, _ = io.Copy(io.Discard, c) // until the other side gives up
	})
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
