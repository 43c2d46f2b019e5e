package update

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/internal/command"
	"github.com/moodle-exporter/moodle-exporter/internal/control"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/internal/nginx"
)

// preflight collects everything that stands in the way, so that it can be mended in one go.
func (u *update) preflight(ctx context.Context) error {
	if u.plan.UpToDate {
		return nil
	}
	u.planCheckout()
	u.planVersion()
	u.planLost()
	u.planServed()
	for _, look := range []func(context.Context) error{u.tryLive, u.tryCode, u.planOffered, u.planRemoved, u.planPeople, u.planRoom, u.planWayBack, u.planTimes} {
		if err := look(ctx); err != nil {
			return err
		}
	}
	u.describe()
	return ctx.Err()
}

// planVersion compares the versions: Moodle has no way back to an older one.
func (u *update) planVersion() {
	p := u.plan
	if moodle.Newer(p.From.Number, p.To.Number) {
		p.problem("choose a newer one with --to", "the new code is older (%s, %s) than the one that is there (%s, %s): Moodle has no way back", p.To.Release, p.To.Number, p.From.Release, p.From.Number)
	}
	// Only stable versions have no other word in version.php.
	if maturity := strings.ToLower(p.To.Maturity); maturity != "" && maturity != "stable" && maturity != "200" {
		p.problem("choose a release with --to", "the new code is of maturity %s: it is for testing, and not for a site that people rely on", maturity)
	}
	if releaseNumber.FindString(p.From.Release) != releaseNumber.FindString(p.To.Release) && p.From.Branch != p.To.Branch {
		p.note("this is a change of the major version: read https://docs.moodle.org/%s/en/Upgrading, and try it on a copy of the site first", p.To.Branch)
	}
}

// planLost names the plugins whose code would be gone: no script of Moodle's takes that for an error.
func (u *update) planLost() {
	p := u.plan
	for _, component := range slices.Sorted(maps.Keys(u.disk.Dirs)) {
		_, there := u.fresh.Dirs[component]
		unseen := slices.Contains(u.fresh.Unseen, firstPart(component))
		if there || unseen || slices.Contains(u.fresh.Dropped, component) {
			continue
		}
		p.problem("install a version of it for the new Moodle with --plugin="+component+"=FILE.zip, or uninstall it first: php "+u.Site.CLI("uninstall_plugins.php")+" --plugins="+component+" --run",
			"the plugin %s would be lost: the new code neither brings it nor has a place for it", component)
	}
	if len(u.missing) > 0 {
		p.note("the code of %d installed plugins is gone already: %s", len(u.missing), some(u.missing))
	}
}

func firstPart(component string) string {
	kind, _, _ := strings.Cut(component, "_")
	return kind
}

// planServed sees to it that the web server serves what the new code wants served: since 5.1 only its directory public.
func (u *update) planServed() {
	if !u.plan.To.Public || u.plan.From.Public {
		return
	}
	public := filepath.Join(u.Site.Link, "public")
	served, err := nginx.Names(u.NginxFile, func(value string) bool {
		return value == public || value == filepath.Join(u.Site.Dir, "public")
	})
	if err == nil && served {
		return
	}
	u.plan.problem(fmt.Sprintf(`In nginx's server block of the site, this root fits before, after, and on the way back:
set $moodle %s;
if (-d %s) { set $moodle %s; }
root $moodle;
Then: nginx -t && systemctl reload nginx`, u.Site.Link, public, public),
		"since Moodle 5.1 the web server must serve the directory public of the code and nothing else, and nginx's configuration does not name %s. With another web server, change its document root at the same moment, by hand", public)
}

// tryCode asks the new code, on the live database and without a trace in the live site, whether it could upgrade it.
func (u *update) tryCode(ctx context.Context) error {
	dir, undo, err := u.tryout()
	if err != nil {
		u.plan.problem("mend config.php", "the new code cannot be tried: %v", err)
		return nil
	}
	defer undo()
	if u.schema, err = u.cli("").CheckSchema(ctx); err != nil {
		return notWorking(u.Site, err)
	}
	ready, err := u.cli(dir).CheckReady(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		u.plan.problem("", "the new code does not start here: %v", err)
		return nil
	}
	for _, lack := range ready.Environment {
		u.plan.problem("", "the host is not what the new Moodle needs: %s", lack)
	}
	if len(ready.Plugins) > 0 {
		u.plan.problem("get versions of them for Moodle "+u.plan.To.Release+": --plugin=COMPONENT=FILE.zip", "plugins do not fit the new Moodle or lack others that they depend on: %s", some(ready.Plugins))
	}
	if ready.Stale {
		u.plan.problem("move files of older versions out of "+u.Site.Dir+"; git status there shows what is not Moodle's", "files of older versions would lie in the new code, and Moodle refuses to upgrade then")
	}
	return nil
}

// tryout gives the staged code a configuration of its own for as long as it is tried.
func (u *update) tryout() (dir string, undo func(), err error) {
	s := u.staging
	user, err := command.SiteUser(u.Site.User)
	if err != nil {
		return "", nil, err
	}
	if p, same := u.source.(*present); same && !p.copy {
		return "", func() {}, nil // it is asked where it is
	}
	name := "config.php"
	text, err := s.root.ReadFile(name)
	if err != nil {
		return "", nil, err
	}
	info, err := s.root.Stat(name)
	if err != nil {
		return "", nil, err
	}
	if err := s.keep.Mkdir(scratch, 0o700); err != nil {
		return "", nil, err
	}
	if err := s.keep.Lchown(scratch, int(user.UID), int(user.GID)); err != nil && os.Geteuid() == 0 {
		return "", nil, err
	}
	trial, err := control.StageConfig(u.Site, string(text), s.path(scratch))
	if err != nil {
		return "", nil, err
	}
	if err := s.keep.Rename(newTree+"/"+name, keptConfig); err != nil {
		return "", nil, err
	}
	undo = func() {
		_ = s.keep.Rename(keptConfig, newTree+"/"+name)
		_ = s.keep.RemoveAll(scratch)
		_ = s.shut()
	}
	if err = putFile(s.root, name, trial, info.Mode().Perm(), info); err == nil {
		err = s.letIn(user)
	}
	if err != nil {
		undo()
	}
	return s.path(newTree), undo, err
}

// keptConfig is the configuration that the new code will have, while it is tried with another one.
const keptConfig = "config.php"

// describe says what is going to be done.
func (u *update) describe() {
	p := u.plan
	p.step("back up the whole site while it is open, into %s", backup.SiteDir(u.Backup.Dir, u.Site.Name))
	p.step("stop cron and wait for its tasks, for at most %s", u.CronWait)
	p.step("close the site, dump its database and read the dump back")
	if p.Source != (&present{}).words() {
		p.step("put the new code in the place of %s", u.Site.Link)
	}
	p.step("run Moodle's upgrade as %s, empty the caches, and try the site in its PHP-FPM pool", u.Site.User)
	p.step("open the site, look at its login page, and switch cron on as it was")
	p.step("should any of this fail, put code and database back as they were, and open")
	for _, plugin := range u.Plugins {
		before, after := u.disk.Versions[plugin.Component], u.fresh.Versions[plugin.Component]
		if before == "" {
			before = "not there"
		}
		p.note("plugin %s: %s, and then %s", plugin.Component, before, after)
	}
}
