package host

import (
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// slowLine is a way to a server on which each packet of an answer takes a while, and which can be cut.
type slowLine struct {
	to    string
	port  int
	delay atomic.Int64 // of each packet from the server, in nanoseconds
	ended chan struct{}

	mu       sync.Mutex
	listener net.Listener
	open     []net.Conn
}

func newSlowLine(t *testing.T, to string) *slowLine {
	t.Helper()
	l := &slowLine{to: to, ended: make(chan struct{})}
	l.listen(t, 0)
	t.Cleanup(func() { close(l.ended); l.cut() })
	return l
}

// listen takes calls, on the port that it had before it was cut.
func (l *slowLine) listen(t *testing.T, port int) {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	must(t, err)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listener, l.port = listener, listener.Addr().(*net.TCPAddr).Port
	go func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", l.to)
			if err != nil {
				_ = near.Close()
				continue
			}
			l.mu.Lock()
			l.open = append(l.open, near, far)
			l.mu.Unlock()
			go l.carry(near, far, false)
			go l.carry(far, near, true)
		}
	}()
}

// cut hangs up on everybody; who calls again is refused.
func (l *slowLine) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.listener.Close()
	for _, conn := range l.open {
		_ = conn.Close()
	}
	l.open = nil
}

func (l *slowLine) carry(from, to net.Conn, slowly bool) {
	defer func() { _, _ = from.Close(), to.Close() }()
	packet := make([]byte, 64<<10)
	for {
		n, err := from.Read(packet)
		if err != nil {
			return
		}
		if slowly {
			select {
			case <-time.After(time.Duration(l.delay.Load())):
			case <-l.ended:
				return
			}
		}
		if _, err := to.Write(packet[:n]); err != nil {
			return
		}
	}
}
