package stand

import (
	"context"
	"os"
	"sync"
	"time"
)

// QuietRun is a job's run that nobody watches. It remembers what it was told.
type QuietRun struct {
	Name string // what ID answers

	mu          sync.Mutex
	steps       []string
	groups      []int
	done, total int64
}

// NewQuietRun is one that begins now.
func NewQuietRun() *QuietRun { return &QuietRun{Name: time.Now().UTC().Format("20060102T150405Z")} }

// ID names the run.
func (r *QuietRun) ID() string { return r.Name }

// Step runs one part.
func (r *QuietRun) Step(ctx context.Context, name string, part func(context.Context) error) error {
	r.locked(func() { r.steps = append(r.steps, name) })
	return part(ctx)
}

// SetTotal is told how many bytes there are to do.
func (r *QuietRun) SetTotal(bytes int64) { r.locked(func() { r.total = bytes }) }

// Add is told how many more bytes are done.
func (r *QuietRun) Add(bytes int64) { r.locked(func() { r.done += bytes }) }

// ChildStarted is told of a process group.
func (r *QuietRun) ChildStarted(group int) { r.locked(func() { r.groups = append(r.groups, group) }) }

// LockFiles are none.
func (*QuietRun) LockFiles() []*os.File { return nil }

// Announce is told when a closed site opens.
func (*QuietRun) Announce(time.Time) {}

// Steps are those that have begun, in their order.
func (r *QuietRun) Steps() (steps []string) {
	r.locked(func() { steps = append(steps, r.steps...) })
	return steps
}

// Groups are the process groups of all children.
func (r *QuietRun) Groups() (groups []int) {
	r.locked(func() { groups = append(groups, r.groups...) })
	return groups
}

// Progress is how many bytes are done, and of how many.
func (r *QuietRun) Progress() (done, total int64) {
	r.locked(func() { done, total = r.done, r.total })
	return done, total
}

func (r *QuietRun) locked(do func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	do()
}
