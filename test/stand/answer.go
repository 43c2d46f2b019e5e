package stand

import (
	"net"
	"testing"
)

// Answer lets handle do with each connection to listener what it likes, until the test ends. A connection is closed when
// handle returns.
func Answer(t testing.TB, listener net.Listener, handle func(net.Conn)) {
	t.Helper()
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				handle(conn)
			}()
		}
	}()
}

// AnswerLoopback is Answer on a port of loopback of its own.
func AnswerLoopback(t testing.TB, handle func(net.Conn)) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	Answer(t, listener, handle)
	return listener.Addr().String()
}
