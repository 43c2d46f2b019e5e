// Package service reads the state of the host's services from systemd over D-Bus. It changes nothing.
package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"

	"github.com/coreos/go-systemd/v22/dbus"
	godbus "github.com/godbus/dbus/v5"
)

// SystemBus is where the system's message bus listens.
const SystemBus = "/run/dbus/system_bus_socket"

// Bus asks systemd. It keeps one connection, renews it after an error, and has at most one question out at a time:
// nothing here waits longer than the context it is given, not even for a bus that accepts and never answers.
type Bus struct {
	socket string
	// turn holds a token while nobody asks. Whoever has it owns kept.
	turn chan struct{}
	kept *connection
}

// NewBus returns a bus on a unix socket, usually SystemBus. It connects when it is first asked.
func NewBus(socket string) *Bus {
	b := &Bus{socket: socket, turn: make(chan struct{}, 1)}
	b.turn <- struct{}{}
	return b
}

// Close ends the kept connection. The next question makes a new one.
func (b *Bus) Close() {
	<-b.turn
	b.drop()
	b.turn <- struct{}{}
}

func (b *Bus) drop() {
	if b.kept != nil {
		b.kept.close()
		b.kept = nil
	}
}

// ask puts a question to systemd and returns with ctx even if the question does not.
func (b *Bus) ask(ctx context.Context, question func(context.Context, *dbus.Conn) error) error {
	select {
	case <-b.turn:
	case <-ctx.Done():
		return fmt.Errorf("wait for an earlier question to systemd: %w", ctx.Err())
	}
	answered := make(chan error, 1)
	go func() {
		answered <- b.answer(ctx, question)
		b.turn <- struct{}{}
	}()
	select {
	case err := <-answered:
		return err
	case <-ctx.Done():
		return fmt.Errorf("no answer from systemd on %s: %w", b.socket, ctx.Err())
	}
}

// answer asks over the kept connection. If that broke, for the bus was restarted, it tries once more over a new one.
func (b *Bus) answer(ctx context.Context, question func(context.Context, *dbus.Conn) error) error {
	if b.kept != nil {
		if b.try(ctx, question) == nil {
			return nil
		}
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("no answer from systemd on %s: %w", b.socket, err)
	}
	fresh, err := connect(ctx, b.socket)
	if err != nil {
		return fmt.Errorf("connect to the system bus: %w", err)
	}
	b.kept = fresh
	return b.try(ctx, question)
}

// try asks over the kept connection, and gives it up if there is an error.
func (b *Bus) try(ctx context.Context, question func(context.Context, *dbus.Conn) error) error {
	stop := context.AfterFunc(ctx, b.kept.cut)
	err := question(ctx, b.kept.systemd)
	if !stop() || err != nil {
		b.drop()
	}
	return err
}

// connection is go-systemd's pair of bus connections, with the sockets below them to cut if they block.
type connection struct {
	systemd *dbus.Conn
	sockets []net.Conn
	// release undoes the cuts that wait for the end of the context of the handshake; false if one was made.
	release []func() bool
}

// connect dials and shakes hands until ctx ends. The connection lives longer than ctx.
func connect(ctx context.Context, socket string) (*connection, error) {
	c := &connection{}
	var err error
	c.systemd, err = dbus.NewConnection(func() (*godbus.Conn, error) { return c.dial(ctx, socket) })
	late := false
	for _, release := range c.release {
		late = !release() || late
	}
	switch {
	case err != nil:
		c.cut()
		return nil, errors.Join(ctx.Err(), err)
	case late:
		c.close()
		return nil, ctx.Err() //nolint:wrapcheck // wrapped with the question
	}
	return c, nil
}

// dial makes one connection. godbus would dial without a context, and bind the connection's life to the one it is given.
func (c *connection) dial(ctx context.Context, socket string) (*godbus.Conn, error) {
	raw, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err //nolint:wrapcheck // names the socket
	}
	c.sockets = append(c.sockets, raw)
	c.release = append(c.release, context.AfterFunc(ctx, func() { _ = raw.Close() }))
	conn, err := godbus.NewConn(raw)
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	if err := conn.Auth([]godbus.Auth{godbus.AuthExternal(strconv.Itoa(os.Getuid()))}); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("authenticate: %w", err)
	}
	if err := conn.Hello(); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("say hello: %w", err)
	}
	return conn, nil
}

// cut closes the sockets, which ends every call on them, even one that is stuck in writing.
func (c *connection) cut() {
	for _, socket := range c.sockets {
		_ = socket.Close()
	}
}

func (c *connection) close() {
	c.cut()
	c.systemd.Close()
}
