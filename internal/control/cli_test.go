package control

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/internal/job"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

func TestUpgrade(t *testing.T) {
	t.Parallel()
	for _, options := range []stand.SiteOptions{
		{Version: "4.5", Name: "up45", Config: stand.ConfigComputed}, {Version: "5.1", Name: "up51", Config: stand.ConfigGetenv, Fixture: true},
	} {
		t.Run(options.Version, func(t *testing.T) {
			p := newPlace(t, options)
			c, ctx := p.cli(), t.Context()
			pending := func(want bool) {
				t.Helper()
				if got, err := c.IsPending(ctx); err != nil || got != want {
					t.Errorf("pending %v, %v", got, err)
				}
			}
			pending(false)
			must(t, c.Upgrade(ctx, UpgradeOptions{})) // nothing to do
			p.update(strings.Replace(p.Version, "2025", "2026", 1)[:8] + "99.00")
			pending(true)
			p.edit(p.public("version.php"), "MATURITY_STABLE", "50")
			if err := c.Upgrade(ctx, UpgradeOptions{}); scriptCode(err) != 1 || !strings.Contains(err.Error(), "not stable") {
				t.Errorf("an unstable version: %v", err)
			}
			must(t, c.Upgrade(ctx, UpgradeOptions{AllowUnstable: true}))
			pending(false)
			if version := p.value("SELECT value FROM {config} WHERE name = 'version'"); moodle.Newer(p.Version, version) {
				t.Errorf("the database has version %s", version)
			}
			p.exec("UPDATE {config} SET value = '2099010100' WHERE name = 'version'")
			if _, err := c.IsPending(ctx); scriptCode(err) != 1 || !strings.Contains(err.Error(), "older") {
				t.Errorf("code older than the database: %v", err)
			}
		})
	}
}

// public is a file of the part that the web server serves, below the code.
func (p *place) public(name string) string {
	dir, err := filepath.Rel(p.CodeDir, p.DocRoot)
	must(p.t, err)
	return filepath.Join(dir, name)
}

func scriptCode(err error) int {
	var failure *ScriptError
	if errors.As(err, &failure) {
		return failure.Code
	}
	return -2
}

func TestUpgradeFails(t *testing.T) {
	t.Parallel()
	p := newPlace(t, stand.SiteOptions{})
	c, ctx := p.cli(), t.Context()
	p.update("2024100799.00")
	steps := filepath.Join(p.DocRoot, "lib/db/upgrade.php")
	must(t, os.MkdirAll(filepath.Dir(steps), 0o755))
	write := func(body string) {
		must(t, os.WriteFile(steps, []byte("<?php function xmldb_main_upgrade($old) { "+body+" }"), 0o644))
	}
	write(`throw new Exception('<p>Duplicate &quot;key&quot;</p>` + "\x1b[31m" + `');`)
	err := c.Upgrade(ctx, UpgradeOptions{})
	if scriptCode(err) != 1 || !strings.Contains(err.Error(), `in its part System: run admin/cli/upgrade.php: exit status 1: Duplicate "key"`) || strings.ContainsAny(err.Error(), "\x1b<") {
		t.Errorf("a step that throws: %q", err)
	}
	// Exit status 0 and nothing done.
	write(`exit(0);`)
	if err := c.Upgrade(ctx, UpgradeOptions{}); err == nil {
		t.Error("an upgrade that ended half way is taken for done")
	}
	p.exec("DELETE FROM {config} WHERE name = 'upgraderunning'")
	write(`global $CFG; $CFG->libdir = '/nonexistent'; exit(0);`)
	if err := c.Upgrade(ctx, UpgradeOptions{}); err == nil {
		t.Error("an upgrade that ended half way is taken for done")
	}
	p.exec("DELETE FROM {config} WHERE name = 'upgraderunning'")
	p.edit("admin/cli/upgrade.php", "set_config('upgraderunning', (string) (time() + 300));", "exit(0);")
	if err := c.Upgrade(ctx, UpgradeOptions{}); !errors.Is(err, ErrStillPending) {
		t.Errorf("an upgrade that did nothing: %v", err)
	}
}

// What a script that cannot start says is told without markup and passwords, whatever its exit status is.
func TestScriptErrors(t *testing.T) {
	t.Parallel()
	p := newPlace(t, stand.SiteOptions{Password: "hunter2-hunter2", Config: stand.ConfigGetenv})
	c, ctx := p.cli(), t.Context()
	all := func(what, want string) {
		t.Helper()
		for name, ask := range map[string]func() error{
			"upgrade": func() error { return c.Upgrade(ctx, UpgradeOptions{}) },
			"pending": func() error { _, err := c.IsPending(ctx); return err },
			"checks":  func() error { _, err := c.Checks(ctx, StatusChecks); return err },
			"missing": func() error { _, err := c.ShowMissing(ctx); return err },
			"contrib": func() error { _, err := c.ShowContrib(ctx); return err },
			"schema":  func() error { _, err := c.CheckSchema(ctx); return err },
			"purge":   func() error { return c.PurgeCaches(ctx) },
			"kill":    func() error { return c.KillSessions(ctx) },
			"cron":    func() error { return c.CronDisableWait(ctx, 1) },
			"enable":  func() error { return c.CronEnable(ctx) },
			"config":  func() error { _, _, err := c.GetConfig(ctx, "", "release"); return err },
			"replace": func() error { return c.ReplaceURL(ctx, "http://a.example", "http://b.example") },
		} {
			err := ask()
			if err == nil || !strings.Contains(err.Error(), want) || strings.ContainsAny(err.Error(), "<>\n") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: %s: %v", what, name, err)
			}
		}
	}
	p.exec("INSERT INTO {config} (name, value) VALUES ('upgraderunning', UNIX_TIMESTAMP() + 100)")
	all("upgrade at work", "Site is being upgraded, please retry later.")
	p.exec("DELETE FROM {config} WHERE name = 'upgraderunning'")
	p.edit("lib/setup.php", "function standin_error(string $message): never {", `function standin_error(string $message): never { global $CFG; echo "!!! <p>$message $CFG->dbpass</p> !!!\n"; exit(0);`)
	must(t, database(t).Exec(ctx, "ALTER USER "+p.User+"@127.0.0.1 ACCOUNT LOCK"))
	all("database gone, exit status 0", "Error: Database connection failed")
	must(t, os.WriteFile(filepath.Join(p.CodeDir, "config.php"), []byte("<?php\n$CFG->dbpass = 'hunter2' 'x;\n"), 0o644))
	all("syntax error", "syntax error")
	must(t, os.Chmod(p.Dataroot, 0o500))
	must(t, os.Remove(filepath.Join(p.CodeDir, "config.php")))
	all("no config.php", "exit status 255")
	c.Site.PHP = ""
	all("no PHP", "install php-cli")
	c.Site.PHP, c.Site.User = "/bin/true", "root"
	all("root", "never run as root")
}

func TestChecks(t *testing.T) {
	t.Parallel()
	p := newPlace(t, stand.SiteOptions{})
	p.exec("UPDATE {config_plugins} SET value = UNIX_TIMESTAMP() - 90000 WHERE name = 'lastcronstart'")
	checks, err := p.cli().Checks(t.Context(), StatusChecks)
	must(t, err)
	got := map[string]string{}
	for _, check := range checks {
		got[check.Ref] = check.Status
	}
	// max_input_vars is that of the child, not Debian's for the command line.
	for ref, want := range map[string]string{"core_environment": "OK", "core_antivirus": "NA", "tool_task_cronrunning": "ERROR", "tool_task_maxfaildelay": "OK"} {
		if got[ref] != want {
			t.Errorf("%s is %q, want %q", ref, got[ref], want)
		}
	}
}

// As a Moodle 5.1 prints them.
func TestParseChecks(t *testing.T) {
	const output = "CRITICAL: Upgrade (core_upgradecheck)\n   Status | Check                                                       \n" +
		"----------+--------------------------------------------------------------------\n" +
		"      \x1b[0;32m OK \x1b[0;0m| Environment (core_environment)                              \n" +
		"          |     Your server environment meets all minimum requirements. \n" +
		"          |     http://localhost:8321/admin/environment.php             \n          |\n" +
		"   \x1b[41m ERROR \x1b[0;0m| Mise à niveau (core_upgradecheck)                                 \n" +
		" \x1b[0;30m\x1b[43m WARNING \x1b[0;0m| Cron running (tool_task_cronrunning)                        \n"
	want := []Check{{"core_environment", "OK", "Environment"}, {"core_upgradecheck", "ERROR", "Mise à niveau"}, {"tool_task_cronrunning", "WARNING", "Cron running"}}
	if got := parseChecks(output); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestPluginsAndSchema(t *testing.T) {
	t.Parallel()
	p := newPlace(t, stand.SiteOptions{Version: "5.1"})
	c, ctx := p.cli(), t.Context()
	if contrib, err := c.ShowContrib(ctx); err != nil || !slices.Equal(contrib, []string{"mod_standin"}) {
		t.Errorf("contrib %q, %v", contrib, err)
	}
	dir, err := p.PluginDir("mod_standin")
	must(t, err)
	must(t, os.RemoveAll(dir))
	if missing, err := c.ShowMissing(ctx); err != nil || !slices.Equal(missing, []string{"mod_standin"}) {
		t.Errorf("missing %q, %v", missing, err)
	}
	must(t, c.Upgrade(ctx, UpgradeOptions{})) // as Moodle does: lost code is no error to it
	if differences, err := c.CheckSchema(ctx); err != nil || len(differences) > 0 {
		t.Errorf("schema %q, %v", differences, err)
	}
	p.exec("DROP TABLE {context}")
	p.exec("ALTER TABLE {upgrade_log} DROP COLUMN userid, ADD mxp_left bigint")
	want := []string{
		"context: table is missing", "upgrade_log: column 'userid' is missing",
		"upgrade_log: Missing index 'userid' (not unique (userid)).", "upgrade_log: column 'mxp_left' is not expected (I)",
	}
	if differences, err := c.CheckSchema(ctx); err != nil || !slices.Equal(differences, want) {
		t.Errorf("schema %q, %v", differences, err)
	}
}

func TestGetConfig(t *testing.T) {
	t.Parallel()
	p := newPlace(t, stand.SiteOptions{})
	var log bytes.Buffer
	c, ctx := p.cli(), t.Context()
	c.Log = &log
	for _, want := range []struct {
		component, name, value string
		set                    bool
	}{{"", "release", p.Release, true}, {"tool_log", "enabled_stores", "logstore_standard", true}, {"", "nonsense", "", false}} {
		if value, set, err := c.GetConfig(ctx, want.component, want.name); err != nil || value != want.value || set != want.set {
			t.Errorf("%s: %q %v, %v", want.name, value, set, err)
		}
	}
	if _, _, err := c.GetConfig(ctx, "", ""); err == nil {
		t.Error("all settings at once, passwords included")
	}
	if log.Len() > 0 {
		t.Errorf("settings are logged: %s", &log)
	}
}

// inherited is a job that holds a lock.
type inherited struct {
	files   []*os.File
	started chan int
}

func (i *inherited) ChildStarted(pgid int) { i.started <- pgid }
func (i *inherited) LockFiles() []*os.File { return i.files }

// A script runs as the site's user, with the job's lock, so that it lasts as long as both.
func TestScriptsHoldTheLock(t *testing.T) {
	t.Parallel()
	p := newPlace(t, stand.SiteOptions{})
	path := filepath.Join(t.TempDir(), "site.lock")
	lock, err := job.Acquire(path)
	must(t, err)
	run := &inherited{lock.Files(), make(chan int, 2)}
	c := p.cli()
	c.Run = run
	ctx, cancel := context.WithCancel(t.Context())
	marker := filepath.Join(p.Dataroot, "started")
	p.edit("admin/cli/purge_caches.php", "<?php", "<?php file_put_contents('"+marker+"', getmyuid().' '.posix_geteuid()); pcntl_async_signals(true); pcntl_signal(SIGTERM, SIG_IGN); while (!is_file('"+marker+".go')) { usleep(10000); }")
	ended := make(chan error, 1)
	go func() { ended <- c.PurgeCaches(ctx) }()
	if group := <-run.started; group <= 0 {
		t.Errorf("process group %d", group)
	}
	await(t, "the script", func() bool { said, _ := os.ReadFile(marker); return len(said) > 0 })
	lock.Release()
	if again, err := job.Acquire(path); !errors.Is(err, job.ErrLocked) {
		again.Release()
		t.Errorf("the lock is free while the script runs: %v", err)
	}
	content, err := os.ReadFile(marker)
	must(t, err)
	if !strings.HasSuffix(string(content), " "+strconv.Itoa(p.Web.UID)) {
		t.Errorf("it runs as %q, want %d", content, p.Web.UID)
	}
	must(t, os.WriteFile(marker+".go", nil, 0o644))
	must(t, <-ended)
	cancel()
}

// The end of the job is the end of its scripts.
func TestScriptsEndWithTheJob(t *testing.T) {
	t.Parallel()
	p := newPlace(t, stand.SiteOptions{})
	p.edit("admin/cli/purge_caches.php", "<?php", "<?php sleep(1000);")
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := p.cli().PurgeCaches(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

// No output is too long, and all of it goes to the log.
func TestLongOutput(t *testing.T) {
	t.Parallel()
	p := newPlace(t, stand.SiteOptions{})
	p.edit("admin/cli/purge_caches.php", "<?php", "<?php for ($i = 0; $i < 50; $i++) { echo str_repeat(str_repeat('x', 99) . \"\\n\", 1000); } echo \"!!! <b>last</b> words !!!\\n\"; exit(1);")
	var log bytes.Buffer
	c := p.cli()
	c.Log = &log
	if err := c.PurgeCaches(t.Context()); scriptCode(err) != 1 || !strings.HasSuffix(err.Error(), "exit status 1: last words") {
		t.Errorf("%v", err)
	}
	if log.Len() < 50*100000 {
		t.Errorf("the log has %d bytes", log.Len())
	}
}

// Staged code is tried with settings of its own, and the live site does not notice.
func TestStagedCode(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"4.5", "5.1"} {
		p := newPlace(t, stand.SiteOptions{Version: version, Name: "staged" + version[:1]})
		staged := filepath.Join(p.dir, ".mxp-staged")
		must(t, exec.CommandContext(t.Context(), "cp", "-a", p.CodeDir, staged).Run())
		text, err := os.ReadFile(filepath.Join(p.CodeDir, "config.php"))
		must(t, err)
		scratch := filepath.Join(p.dir, "scratch")
		own, err := StageConfig(p.site, string(text), scratch)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(staged, "config.php"), []byte(own), 0o644))
		live := p.Version
		p.CodeDir, p.DocRoot = staged, strings.Replace(p.DocRoot, p.site.Dir, staged, 1)
		p.update("2026010100.00")
		c := p.cli()
		if pending, err := c.IsPending(t.Context()); err != nil || pending {
			t.Errorf("%s: live code %s: %v, %v", version, live, pending, err)
		}
		c.Dir = staged
		if pending, err := c.IsPending(t.Context()); err != nil || !pending {
			t.Errorf("%s: staged code: %v, %v", version, pending, err)
		}
		if value, _, err := c.GetConfig(t.Context(), "", "cachedir"); err != nil || value != filepath.Join(scratch, "cachedir") {
			t.Errorf("%s: cachedir of the staged code is %q, %v", version, value, err)
		}
	}
}
