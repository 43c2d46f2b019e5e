package stand

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// Harm is what a Proxy does to a connection.
type Harm int

// Cut resets the connection, Stall keeps it open and moves nothing more, Flip turns one bit around.
const (
	Cut Harm = iota
	Stall
	Flip
)

// Fault is a harm to come. Times connections meet it, each when After more bytes have gone through the proxy
// in that direction, over all connections.
type Fault struct {
	Harm  Harm
	Down  bool // from the server to the client, else the other way
	After int64
	Times int
}

// Proxy passes TCP connections on to a server and harms them when told.
type Proxy struct {
	Address string // host:port

	target   string
	listener net.Listener
	mu       sync.Mutex
	fault    Fault
	moved    int64 // bytes since the fault was set or last met
	met      int
	pace     int64
	open     map[net.Conn]bool
	closing  sync.Once
	closed   chan struct{}
	done     sync.WaitGroup
}

// StartProxy listens on a loopback port for what goes to target (host:port) until Close.
func StartProxy(target string) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start proxy: %w", err)
	}
	p := &Proxy{Address: listener.Addr().String(), target: target, listener: listener, open: map[net.Conn]bool{}, closed: make(chan struct{})}
	p.done.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			p.done.Go(func() { p.serve(client) })
		}
	})
	return p, nil
}

// Set replaces the fault to come.
func (p *Proxy) Set(fault Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.moved = fault, 0
}

// Slow lets each direction of each connection move so many bytes a second; 0 is as fast as it goes.
func (p *Proxy) Slow(bytesPerSecond int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pace = bytesPerSecond
}

// Met is how many connections were harmed so far.
func (p *Proxy) Met() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.met
}

// Close ends all connections; who connects from then on is refused. It may be called again.
func (p *Proxy) Close() (err error) {
	p.closing.Do(func() {
		err = p.listener.Close()
		close(p.closed)
		p.mu.Lock()
		for c := range p.open {
			_ = c.Close()
		}
		p.mu.Unlock()
	})
	p.done.Wait()
	return err
}

func (p *Proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = client.Close()
		return
	}
	p.mu.Lock()
	p.open[client], p.open[server] = true, true
	p.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { p.pass(client, server, false) })
	both.Go(func() { p.pass(server, client, true) })
	both.Wait()
	p.mu.Lock()
	delete(p.open, client)
	delete(p.open, server)
	p.mu.Unlock()
}

// pass copies one direction to its end, and then ends the other.
func (p *Proxy) pass(from, to net.Conn, down bool) {
	defer from.Close()
	defer to.Close()
	buffer := make([]byte, 4<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 && p.harmed(buffer[:n], from, to, down) {
			return
		}
		if _, failed := to.Write(buffer[:n]); failed != nil || err != nil {
			return
		}
	}
}

// harmed does what is due, and says whether the connection is over.
func (p *Proxy) harmed(passing []byte, from, to net.Conn, down bool) bool {
	p.mu.Lock()
	fault, pace := p.fault, p.pace
	due := fault.Times > 0 && fault.Down == down
	if due {
		p.moved += int64(len(passing))
		if due = p.moved > fault.After; due {
			p.fault.Times--
			p.moved = 0
			p.met++
		}
	}
	p.mu.Unlock()
	if pace > 0 {
		select {
		case <-time.After(time.Duration(len(passing)) * time.Second / time.Duration(pace)):
		case <-p.closed:
		}
	}
	switch {
	case !due:
	case fault.Harm == Flip:
		passing[len(passing)/2] ^= 1
	case fault.Harm == Stall:
		// The kernel still takes some bytes from the sender; nobody reads them.
		<-p.closed
		return true
	default:
		// No FIN but RST, as a firewall or a crashed machine would.
		_ = errors.Join(from.(*net.TCPConn).SetLinger(0), to.(*net.TCPConn).SetLinger(0))
		return true
	}
	return false
}
