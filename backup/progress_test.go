package backup

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// progressRun notes how far each step has brought the run.
type progressRun struct {
	noRun
	mu          sync.Mutex
	step        string
	total, done int64
	early       int64 // done before anybody knew of how much
	steps       map[string]int64
}

func (r *progressRun) Step(ctx context.Context, name string, part func(context.Context) error) error {
	r.mu.Lock()
	r.step = name
	r.mu.Unlock()
	return part(ctx)
}

func (r *progressRun) SetTotal(bytes int64) { r.total = bytes }

func (r *progressRun) Add(bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done += bytes
	r.steps[r.step] += bytes
	if r.total == 0 {
		r.early += bytes
	}
}

// TestProgress: how much there is to do is known before it begins, each long step moves on, and the end is
// where it was expected.
func TestProgress(t *testing.T) {
	t.Parallel()
	site, o := newSite(t, stand.SiteOptions{})
	o.Config.Keep = config.Keep{Last: 1}
	run := func(name string, atLeast, atMost float64, steps []string, do func(Run) error) {
		t.Helper()
		r := &progressRun{steps: map[string]int64{}}
		must(t, do(r))
		ratio := float64(r.done) / float64(max(r.total, 1))
		if r.early > 0 || ratio < atLeast || ratio > atMost {
			t.Errorf("%s: %d of %d, %d of them before the total was known; by steps %v", name, r.done, r.total, r.early, r.steps)
		}
		for _, step := range steps {
			if r.steps[step] == 0 {
				t.Errorf("%s: nothing moves during %s: %v", name, step, r.steps)
			}
		}
	}
	backUp := func(r Run) error {
		_, err := Create(t.Context(), o, r)
		return err
	}
	all := []string{"pool", "dump", "archives"}
	run("the first backup", 0.5, 1.5, all, backUp)
	freshBlob(t, o, string(noise(300_000)))
	must(t, os.WriteFile(filepath.Join(site.CodeDir, "new.php"), noise(100_000), 0o644))
	run("the next one", 0.95, 1.05, all, backUp)
	verify := VerifyOptions{Dir: o.Config.Dir, Site: "lms", ReadData: true}
	run("verify", 0.99, 1.01, []string{"files", "pool"}, func(r Run) error { _, err := Verify(t.Context(), verify, r); return err })
	prune := PruneOptions{Dir: o.Config.Dir, Site: "lms", Keep: o.Config.Keep}
	run("prune", 1, 1, []string{"sweep"}, func(r Run) error { _, err := Prune(t.Context(), prune, r); return err })
}
