package collector

import (
	"crypto/tls"
	"net/http/httptrace"
	"sync"
	"time"
)

// phaseTimer takes the times of a visit's phases. The transport may go on calling it after the visit has ended.
type phaseTimer struct {
	clock func() time.Time

	mu      sync.Mutex
	stopped bool
	running string // the phase under way
	since   time.Time
	took    map[string]time.Duration
}

func newPhaseTimer(clock func() time.Time) *phaseTimer {
	return &phaseTimer{clock: clock, took: map[string]time.Duration{}}
}

// enter ends the phase under way and begins another; none is a pause. With several addresses tried side by side, connecting
// lasts from the first attempt to the connection that is used.
func (p *phaseTimer) enter(phase string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped || p.running == phase {
		return
	}
	now := p.clock()
	if p.running != "" {
		p.took[p.running] += now.Sub(p.since)
	}
	p.running, p.since = phase, now
}

// stop ends the phase under way and returns what each took.
func (p *phaseTimer) stop() map[string]time.Duration {
	p.enter("")
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	return p.took
}

func (p *phaseTimer) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		DNSStart:             func(httptrace.DNSStartInfo) { p.enter("resolve") },
		DNSDone:              func(httptrace.DNSDoneInfo) { p.enter("") },
		ConnectStart:         func(string, string) { p.enter("connect") },
		TLSHandshakeStart:    func() { p.enter("tls") },
		TLSHandshakeDone:     func(tls.ConnectionState, error) { p.enter("") },
		GotConn:              func(httptrace.GotConnInfo) { p.enter("processing") },
		GotFirstResponseByte: func() { p.enter("transfer") },
	}
}
