package probe

import (
	"errors"
	"sync"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// View is the exporter's window on the facts: it reads the files again when it is asked and they may have
// changed, at most once a second, and keeps nothing that is gone.
type View struct {
	stateDir string
	clock    func() time.Time

	mu         sync.Mutex
	configured []config.Site
	read       time.Time
	snapshot   Snapshot
}

// Snapshot is everything that the facts say at one moment.
type Snapshot struct {
	Host  *HostFacts // nil before the first look
	Sites []*SiteFacts
	All   []*moodle.Site // the same sites, with their database accounts
	Err   error          // facts that are missing or cannot be read
}

// NewView reads the facts of a state directory.
func NewView(stateDir string, clock func() time.Time, configured []config.Site) *View {
	return &View{stateDir: stateDir, clock: clock, configured: configured}
}

// Configure takes over a reloaded configuration.
func (v *View) Configure(configured []config.Site) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.configured, v.read = configured, time.Time{}
}

const viewAge = time.Second

// Snapshot returns what the facts say now.
func (v *View) Snapshot() Snapshot {
	v.mu.Lock()
	defer v.mu.Unlock()
	if now := v.clock(); v.read.IsZero() || now.Sub(v.read) >= viewAge || now.Before(v.read) {
		v.snapshot, v.read = v.load(), now
	}
	return v.snapshot
}

func (v *View) load() Snapshot {
	host, err := ReadHost(v.stateDir)
	if err != nil {
		return Snapshot{Err: err}
	}
	snapshot := Snapshot{Host: host}
	var problems []error
	for _, name := range host.Sites {
		facts, err := ReadSite(v.stateDir, name)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		snapshot.Sites = append(snapshot.Sites, facts)
		snapshot.All = append(snapshot.All, facts.Site(v.configured))
	}
	snapshot.Err = errors.Join(problems...)
	return snapshot
}

// Sites are the sites that the facts know.
func (v *View) Sites() []*moodle.Site { return v.Snapshot().All }

// Facts are those of one site, or nothing.
func (s Snapshot) Facts(site string) *SiteFacts {
	for _, facts := range s.Sites {
		if facts.Name == site {
			return facts
		}
	}
	return nil
}

// Fresh says whether facts taken then may still be told as the state of now. A look from the future counts
// as stale too: the clock has jumped, and nobody knows how old it is.
func Fresh(taken, now time.Time) bool {
	age := now.Sub(taken)
	return age < Stale && age > -Stale
}
