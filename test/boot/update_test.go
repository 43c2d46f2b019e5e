package boot_test

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/test/boot"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// TestUpdateOnAServer updates a site with the built exporter where nginx, PHP-FPM, MariaDB and cron are those of a Debian.
func TestUpdateOnAServer(t *testing.T) {
	t.Parallel()
	u := newUpdated(t)
	for _, step := range []struct {
		name string
		test func(*testing.T)
	}{
		{"from git", u.testGit},
		{"from an archive, with packages of composer", u.testArchive},
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
	t.Logf("proof: exit code %d after %.1f s, closed for %.1f s; seen: %s", o.ExitCode, o.took.Seconds(), o.closed.Seconds(), strings.Join(o.seen, ", "))
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

// testRefused names what stands in the way before anything is touched.
func (u *updated) testRefused(t *testing.T) {
	usual, unfit := u.next(), u.next()
	unfit.PHP, unfit.Without = "99.1", []string{"mod_book"}
	for _, one := range []struct {
		name, script, back string
		release            stand.Release
		want               []string
	}{
		{"by the new code", "true", "true", unfit, []string{"version 99.1 is required", "mod_book would be lost"}},
		{"config.php is a link out of the code", "cp -p config.php /etc/moodle.php && sed -i s,__DIR__,\"'$PWD'\", /etc/moodle.php && mv config.php /etc/kept.php && ln -s /etc/moodle.php config.php",
			"mv -T /etc/kept.php config.php; rm /etc/moodle.php", usual,
			[]string{"config.php is a link out of the code, to /etc/moodle.php"}},
		{"something is mounted in the code", "mount --bind mod/standin mod/standin", "umount mod/standin", usual, []string{"something is mounted within the code: mod/standin"}},
	} {
		t.Run(one.name, func(t *testing.T) {
			before := u.standing(t)
			archive := u.archived(t, one.release)
			u.sh(t, "cd "+u.site.CodeDir+" && "+one.script)
			o := u.update(t, nil, "--to="+archive)
			u.sh(t, "cd "+u.site.CodeDir+" && "+one.back)
			o.saw(t, loginPage)
			for _, want := range one.want {
				if o.ExitCode != 12 || !strings.Contains(o.Stderr, want) {
					t.Errorf("exit code %d; the refusal does not say %q: %s", o.ExitCode, want, o.Stderr)
				}
			}
			before.asBefore(t, u.standing(t))
			u.works(t)
		})
	}
}

// composerStandIn notes how it is called and by whom, and fails for a package that nobody has heard of.
const composerStandIn = `#!/bin/sh
echo "$(id -un)" "$@" >>/tmp/composer-calls
for word in "$@"; do case "$word" in --working-dir=*) dir=${word#*=} ;; esac; done
if grep -q nobody/unheard "$dir/composer.json"; then echo 'Package nobody/unheard was not found' >&2; exit 2; fi
touch "$dir/index.php" 2>/dev/null && echo 'the code can be written to' >>/tmp/composer-calls
mkdir -p "$dir/vendor/.composer" && echo '<?php' >"$dir/vendor/autoload.php"
`

// testArchive brings the site to a release that needs packages of others, which are installed by its user and then belong to
// whom the code belongs.
func (u *updated) testArchive(t *testing.T) {
	release := u.next()
	try := func(requires string) outcome {
		u.archived(t, release)
		composer := `{"require": {"php": ">=8.1", "ext-json": "*"` + requires + `}}`
		if err := u.WriteFile(t.Context(), "/srv/release/moodle/composer.json", []byte(composer), 0o644, "root:root"); err != nil {
			t.Fatal(err)
		}
		u.sh(t, "cd /srv && tar -C release -czf moodle.tgz moodle && sha256sum moodle.tgz >moodle.tgz.sha256; : >/tmp/composer-calls; chmod 666 /tmp/composer-calls")
		return u.update(t, nil, "--to=/srv/moodle.tgz", "--check")
	}
	if o := try(`, "slim/slim": "^4"`); o.ExitCode != 12 || !strings.Contains(o.Stderr, "composer is not installed") {
		t.Errorf("without composer: exit code %d: %s", o.ExitCode, o.Stderr)
	}
	if err := u.WriteFile(t.Context(), "/usr/local/bin/composer", []byte(composerStandIn), 0o755, "root:root"); err != nil {
		t.Fatal(err)
	}
	if o := try(`, "nobody/unheard": "^4"`); o.ExitCode != 1 || !strings.Contains(o.Stderr, "nobody/unheard was not found") {
		t.Errorf("without the package: exit code %d: %s", o.ExitCode, o.Stderr)
	}
	u.works(t)
	if o := try(""); o.ExitCode != 0 || u.sh(t, "cat /tmp/composer-calls") != "" {
		t.Errorf("without packages: exit code %d: %s", o.ExitCode, o.Stderr)
	}
	before := u.standing(t)
	if o := try(`, "slim/slim": "^4"`); o.ExitCode != 0 {
		t.Errorf("exit code %d: %s", o.ExitCode, o.Stderr)
	}
	calls := u.sh(t, "cat /tmp/composer-calls")
	if !strings.HasPrefix(calls, "www-data install --working-dir="+filepath.Dir(u.site.CodeDir)+"/.mxp-") || !strings.HasSuffix(calls, "/new --no-dev --classmap-authoritative --no-interaction --no-scripts --no-plugins --no-progress\n") ||
		strings.Count(calls, "\n") != 1 {
		t.Errorf("composer was called so:\n%s", calls)
	}
	before.asBefore(t, u.standing(t))
	o := u.update(t, nil, "--to=/srv/moodle.tgz")
	if o.ExitCode != 0 {
		t.Fatalf("exit code %d: %s", o.ExitCode, o.Stderr)
	}
	const made = "cd %s && find vendor composer.json -printf '%%p %%m %%u:%%g\\n' | sort"
	if got := u.sh(t, fmt.Sprintf(made, u.site.CodeDir)); got != "composer.json 640 root:www-data\nvendor 750 root:www-data\nvendor/autoload.php 640 root:www-data\n" {
		t.Errorf("the new code has:\n%s", got)
	}
	u.sh(t, "cd "+u.site.CodeDir+" && rm -r vendor composer.json; rm /usr/local/bin/composer")
	u.well(t, before, release, o)
	u.span = o.took
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
		u.sh(t, "systemctl stop mariadb; rm /tmp/half-way; sleep 2; systemctl start mariadb")
	}, "--to="+u.archived(t, release))
	o.saw(t, loginPage, maintenance, loginPage)
	if o.ExitCode != 1 || !strings.Contains(o.Stderr, "was undone") {
		t.Errorf("exit code %d: %s\n%s", o.ExitCode, o.Stderr, u.updateLog(t))
	}
	before.asBefore(t, u.standing(t))
	u.works(t)
}
