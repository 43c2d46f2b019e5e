package boot_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/test/boot"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// TestUpdateOnAServer updates a site with the built exporter where nginx, PHP-FPM, MariaDB and cron are those of a Debian.
func TestUpdateOnAServer(t *testing.T) {
	u := newUpdated(t)
	for _, step := range []struct {
		name string
		test func(*testing.T)
	}{
		{"from git", u.testGit},
		{"from an archive", u.testArchive},
		{"refused", u.testRefused},
		{"a step of the upgrade throws", u.testThrows},
		{"the database is stopped", u.testDatabaseStops},
		{"killed", u.testKilled},
		{"maintain is killed", u.testKilledMaintain},
	} {
		t.Run(step.name, step.test)
	}
}

// outcome is what came of an update, and what visitors saw meanwhile.
type outcome struct {
	boot.Result
	took, closed time.Duration
	seen         []string
}

// update runs the command while visitors come. meanwhile may interfere.
func (u *updated) update(t *testing.T, meanwhile func(context.Context), args ...string) (o outcome) {
	t.Helper()
	visitors := u.probe(t)
	began := time.Now()
	ended := make(chan struct{})
	var err error
	go func() {
		defer close(ended)
		o.Result, err = u.Run(t.Context(), append([]string{"moodle-exporter", "update", "--yes"}, args...)...)
	}()
	if meanwhile != nil {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		meanwhile(ctx)
		cancel()
	}
	<-ended
	o.took = time.Since(began)
	o.seen, o.closed = visitors.end()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("exit code %d after %.1f s, closed for %.1f s; seen: %s", o.ExitCode, o.took.Seconds(), o.closed.Seconds(), strings.Join(o.seen, ", "))
	return o
}

// saw wants visitors to have seen this, but for the moments in which PHP-FPM reloads.
func (o outcome) saw(t *testing.T, want ...string) {
	t.Helper()
	seen := slices.Compact(slices.DeleteFunc(slices.Clone(o.seen), func(what string) bool { return strings.HasPrefix(what, "502 ") }))
	if !slices.Equal(seen, want) {
		t.Errorf("visitors saw %s", strings.Join(o.seen, ", "))
	}
}

// updateLog is that of the last update.
func (p *patient) updateLog(t *testing.T) string {
	t.Helper()
	result, err := p.Run(t.Context(), "sh", "-c", "tail -n 60 $(ls -t /var/lib/moodle-exporter/log/*update* | head -1)")
	return fmt.Sprint(result.Stdout, result.Stderr, err)
}

// well wants an update to a release that nobody noticed but by the maintenance page.
func (u *updated) well(t *testing.T, before standing, release stand.Release, o outcome) {
	t.Helper()
	if o.ExitCode != 0 {
		t.Fatalf("%s%s\n%s", o.Stdout, o.Stderr, u.updateLog(t))
	}
	o.saw(t, loginPage, maintenance, loginPage)
	before.onNew(t, u.standing(t), u.site.Prefix, release.Version)
	u.works(t)
}

func (u *updated) testGit(t *testing.T) {
	release := u.next()
	u.checkedOut(t, release)
	before := u.standing(t)
	before.code = withoutGit(before.code)
	o := u.update(t, nil)
	if o.ExitCode != 0 {
		t.Fatalf("%s%s\n%s", o.Stdout, o.Stderr, u.updateLog(t))
	}
	if status := u.sh(t, "cd "+u.site.CodeDir+" && git status --porcelain --untracked-files=no && git rev-parse HEAD MOODLE_405_STABLE && git -c safe.directory='*' -C /srv/origin rev-parse HEAD"); len(slices.Compact(strings.Fields(status))) != 1 {
		t.Errorf("git in the site, and in the repository: %s", status)
	}
	u.sh(t, "rm -r "+u.site.CodeDir+"/.git") // for the others the code comes from archives
	u.well(t, before, release, o)
}

func withoutGit(code string) string {
	var kept []string
	for line := range strings.Lines(code) {
		if !strings.Contains(line, "./.git/") && !strings.HasPrefix(line, "./.git ") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

func (u *updated) testArchive(t *testing.T) {
	release := u.next()
	before := u.standing(t)
	o := u.update(t, nil, "--to="+u.archived(t, release))
	u.well(t, before, release, o)
	u.span = o.took
}

// testRefused names what stands in the way before anything is touched.
func (u *updated) testRefused(t *testing.T) {
	release := u.next()
	release.PHP, release.Without = "99.1", []string{"mod_book"}
	before := u.standing(t)
	o := u.update(t, nil, "--to="+u.archived(t, release))
	o.saw(t, loginPage)
	for _, want := range []string{"version 99.1 is required", "mod_book would be lost"} {
		if o.ExitCode != 12 || !strings.Contains(o.Stderr, want) {
			t.Errorf("exit code %d; the refusal does not say %q: %s", o.ExitCode, want, o.Stderr)
		}
	}
	before.asBefore(t, u.standing(t))
	u.works(t)
}

// testThrows has Moodle's upgrade end half way, when tables and rows are others already.
func (u *updated) testThrows(t *testing.T) {
	release := u.next()
	release.Upgrade = upgradeSteps(`sql_run("ALTER TABLE {course} ADD halfway INT"); sql_run("DELETE FROM {user} WHERE id > 1"); throw new Exception('no way on');`)
	before := u.standing(t)
	o := u.update(t, nil, "--to="+u.archived(t, release))
	o.saw(t, loginPage, maintenance, loginPage)
	if o.ExitCode != 1 || !strings.Contains(o.Stderr, "no way on") || !strings.Contains(o.Stderr, "was undone") {
		t.Errorf("exit code %d: %s", o.ExitCode, o.Stderr)
	}
	before.asBefore(t, u.standing(t))
	u.works(t)
}

// testDatabaseStops takes the database server away between two steps of the upgrade, for as long as somebody may need to
// notice and start it again.
func (u *updated) testDatabaseStops(t *testing.T) {
	release := u.next()
	release.Upgrade = upgradeSteps("touch('/tmp/half-way'); while (file_exists('/tmp/half-way')) { usleep(20000); clearstatcache(); }")
	before := u.standing(t)
	o := u.update(t, func(ctx context.Context) {
		if err := u.Poll(ctx, func(ctx context.Context) error { _, err := u.Must(ctx, "test", "-e", "/tmp/half-way"); return err }); err != nil {
			t.Error(err)
		}
		u.sh(t, "systemctl stop mariadb; rm /tmp/half-way; sleep 3; systemctl start mariadb")
	}, "--to="+u.archived(t, release))
	o.saw(t, loginPage, maintenance, loginPage)
	if o.ExitCode != 1 || !strings.Contains(o.Stderr, "was undone") {
		t.Errorf("exit code %d: %s\n%s", o.ExitCode, o.Stderr, u.updateLog(t))
	}
	before.asBefore(t, u.standing(t))
	u.works(t)
}
