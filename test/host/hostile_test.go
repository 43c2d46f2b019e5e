package host

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// fails waits until exactly these collectors fail, whose order does not matter.
func (e *exporter) fails(t *testing.T, want ...string) page {
	t.Helper()
	slices.Sort(want)
	var p page
	eventually(t, func() error {
		text, err := e.scrapeWithin(3 * time.Second)
		if err != nil {
			return err
		}
		p = parse(t, text)
		got := p.failing()
		slices.Sort(got)
		if !slices.Equal(got, want) {
			err = fmt.Errorf("collectors that fail: %q, want %q", got, want)
		}
		return err
	})
	return p
}

// fromFacts are the collectors that tell what the privileged look has seen.
var fromFacts = []string{"site", "activity", "web", "certificate", "phpfpm", "nginx", "redis", "backup", "probe"}

// withoutSystemd are those that fail in these tests whatever happens: there is no bus.
var withoutSystemd = []string{"service"}

// TestStateDirectoryLost: what is told from the state directory fails and comes back; all the rest stays.
func TestStateDirectoryLost(t *testing.T) { // alone: it counts samples, and other tests mount file systems
	h := theHost(t)
	i := h.installForNobody(t, nil)
	i.mustRun(t, "backup", "--site=lms")
	i.mustRun(t, "probe")
	i.letRead(t)
	e := i.serveAsNobody(t)
	eventually(t, func() error { return e.shows("files", "site", "campus") })
	healthy := e.fails(t, withoutSystemd...)
	all := slices.Concat(fromFacts, withoutSystemd, []string{"job"})
	away := i.state + ".away"
	facts := filepath.Join(i.state, "facts")
	jobs := filepath.Join(i.state, "jobs")
	tests := map[string]struct {
		lose, back func() error
		fail       []string
	}{
		"gone":            {func() error { return os.Rename(i.state, away) }, func() error { return os.Rename(away, i.state) }, all},
		"closed":          {func() error { return os.Chmod(i.state, 0) }, func() error { return os.Chmod(i.state, 0o750) }, all},
		"facts closed":    {func() error { return os.Chmod(facts, 0) }, func() error { return os.Chmod(facts, 0o750) }, slices.Concat(fromFacts, withoutSystemd)},
		"records closed":  {func() error { return os.Chmod(jobs, 0) }, func() error { return os.Chmod(jobs, 0o750) }, slices.Concat(withoutSystemd, []string{"job"})},
		"a site's closed": {func() error { return os.Chmod(jobs+"/lms", 0) }, func() error { return os.Chmod(jobs+"/lms", 0o750) }, slices.Concat(withoutSystemd, []string{"job"})},
		"a file in its place": {
			func() error {
				return errors.Join(os.Rename(i.state, away), os.WriteFile(i.state, []byte("full disk"), 0o644))
			},
			func() error { return errors.Join(os.Remove(i.state), os.Rename(away, i.state)) }, all,
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			must(t, test.lose())
			back := sync.OnceValue(test.back)
			t.Cleanup(func() { must(t, back()) })
			p := e.fails(t, test.fail...)
			p.want(t, 1, "host_filesystem_responding", "mountpoint", "/")
			p.want(t, 0.9, "threshold", "name", "cpu_busy_ratio")
			if !strings.Contains(e.get(t, "/"), i.state) {
				t.Error("the status page does not name the state directory")
			}
			must(t, back())
			e.fails(t, withoutSystemd...)
		})
	}
	eventually(t, func() error { return e.lacks(t, healthy) })
}

// lacks names what an earlier page had more of.
func (e *exporter) lacks(t *testing.T, earlier page) (err error) {
	p := e.scrape(t, "/metrics")
	for metric, family := range earlier {
		if was, is := len(family.GetMetric()), len(p[metric].GetMetric()); strings.HasPrefix(metric, "moodle_") && is < was {
			err = errors.Join(err, fmt.Errorf("%s has %d samples, %d before", metric, is, was))
		}
	}
	return err
}

// TestFactsOfAnotherTime: what was seen too long ago, or will be seen tomorrow, is not told as the state of now.
func TestFactsOfAnotherTime(t *testing.T) {
	t.Parallel()
	h := theHost(t)
	i := h.installForNobody(t, nil)
	e := i.serveAsNobody(t)
	e.fails(t, withoutSystemd...)
	for name, by := range map[string]time.Duration{"20 minutes old": -20 * time.Minute, "of tomorrow": 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			undo := i.dateFacts(t, by)
			p := e.fails(t, slices.Concat(fromFacts, withoutSystemd)...)
			// What is read now is shown nevertheless: who has the look fail must not lose sight of the database as well.
			p.want(t, 1, "database_up", "server", h.db.Socket)
			if _, err := p.value("tasks_failing", "site", "lms"); err != nil {
				t.Error(err)
			}
			if page := e.get(t, "/"); !strings.Contains(page, "the privileged look was last taken at") {
				t.Error("the status page does not say so")
			}
			undo()
			e.fails(t, withoutSystemd...)
		})
	}
}

// dateFacts moves the time of all facts. The files themselves stay, as the exporter may not write them.
func (i *installation) dateFacts(t *testing.T, by time.Duration) (undo func()) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(i.state, "facts", "*.json"))
	must(t, err)
	taken := regexp.MustCompile(`"taken": "[^"]*"`)
	before := map[string][]byte{}
	for _, file := range files {
		before[file], err = os.ReadFile(file)
		must(t, err)
		moved := taken.ReplaceAll(before[file], []byte(`"taken": "`+time.Now().Add(by).Format(time.RFC3339)+`"`))
		if string(moved) == string(before[file]) {
			t.Fatalf("%s does not say when it was taken", file)
		}
		must(t, os.WriteFile(file, moved, 0o640))
	}
	undo = sync.OnceFunc(func() {
		for file, content := range before {
			must(t, os.WriteFile(file, content, 0o640))
		}
	})
	t.Cleanup(undo)
	return undo
}
