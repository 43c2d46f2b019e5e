package update

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// siteFiles are what administrators put into the code that is no plugin, where no git tells it apart.
var siteFiles = []string{"config.php", ".htaccess", ".user.ini", "robots.txt", "favicon.ico", "local/defaults.php", "vendor", "public/.htaccess", "public/.user.ini", "public/robots.txt",
	"public/favicon.ico", "public/local/defaults.php", ".well-known", "public/.well-known"}

// rootFiles stay at the top of the tree when all others move into public/, which the web server serves since 5.1.
var rootFiles = []string{"config.php", ".git", "vendor", "node_modules", "composer.json", "composer.lock", "admin/cli", ".env"}

// transfer is a path of the live code and where it goes.
type transfer struct{ from, to string }

// carry brings over what is the site's and not Moodle's: configuration, plugins of others, and what git does not know.
func (u *update) carry(ctx context.Context, live *os.Root) error {
	version, err := moodle.ReadVersion(u.staging.path(newTree))
	if err != nil {
		return err
	}
	fresh, err := moodle.ReadPlugins(u.staging.path(newTree), version)
	if err != nil {
		return err
	}
	transfers := u.transfers(live, fresh, version)
	// A config.php in the new code, as forks have it, gives way to the live one.
	if err := u.staging.root.RemoveAll("config.php"); err != nil {
		return err
	}
	transfers = slices.DeleteFunc(transfers, func(t transfer) bool { return u.has(t) })
	return put(ctx, u.staging.root, func(to *tar.Writer) error {
		made := map[string]bool{}
		for _, t := range transfers {
			if err := u.parents(to, live, t, made); err != nil {
				return err
			}
			err := copyInto(to, live, t.from, t.to, func(path string) bool { return u.replaced(path) })
			if err != nil {
				return fmt.Errorf("%s: %w", t.from, err)
			}
		}
		return nil
	})
}

// parents makes the directories above a path that the new code does not have, as they are in the live one.
func (u *update) parents(to *tar.Writer, live *os.Root, t transfer, made map[string]bool) error {
	from, as := path.Dir(t.from), path.Dir(t.to)
	if as == "." || from == "." || made[as] || !notThere(u.staging.root, as) {
		return nil
	}
	made[as] = true
	if err := u.parents(to, live, transfer{from, as}, made); err != nil {
		return err
	}
	info, err := live.Stat(from)
	if err != nil {
		return err
	}
	header, err := headerOf(live, from, as, info)
	if err != nil {
		return err
	}
	return to.WriteHeader(header)
}

// has says whether the new code brings the path itself: that counts.
func (u *update) has(t transfer) bool {
	_, err := u.staging.root.Lstat(t.to)
	if err == nil {
		u.plan.note("%s stays behind: the new code brings its own", t.from)
	}
	return !errors.Is(err, fs.ErrNotExist)
}

// transfers are all paths to be carried over, none within another.
func (u *update) transfers(live *os.Root, fresh moodle.DiskPlugins, version moodle.Version) (all []transfer) {
	moved := version.Public && !u.Site.Version.Public
	done := map[string]bool{}
	add := func(from, to string) {
		if covered(done, from) || u.replaced(from) {
			return
		}
		done[from] = true
		all = append(all, transfer{from, to})
	}
	plugins := u.thirdParty()
	slices.SortFunc(plugins, func(a, b string) int { return strings.Compare(u.disk.Dirs[a], u.disk.Dirs[b]) }) // parents first
	for _, component := range plugins {
		from := u.disk.Dirs[component]
		to, known := placeOf(fresh, component)
		if !known {
			to = elsewhere(from, u.Site.Version.Public, moved) // of a type that a plugin brings along, which lies within it
		}
		add(from, to)
	}
	for _, name := range u.siteFiles() {
		if _, err := live.Lstat(name); err == nil {
			add(name, elsewhere(name, u.Site.Version.Public, moved))
		}
	}
	return all
}

// siteFiles are the paths that are not Moodle's.
func (u *update) siteFiles() []string {
	if u.checkout == nil {
		return siteFiles
	}
	var names []string
	for _, other := range u.checkout.others {
		names = append(names, path.Clean(other))
	}
	for link := range u.checkout.links {
		names = append(names, link)
	}
	slices.Sort(names)
	return append(names, "config.php") // which a fork may have in git
}

// covered says whether a path or a directory that it lies in is among those done.
func covered(done map[string]bool, name string) bool {
	for ; name != "." && name != "/"; name = path.Dir(name) {
		if done[name] {
			return true
		}
	}
	return false
}

// elsewhere is where a path that is no plugin goes: into public/ with everything that the web server serves.
func elsewhere(name string, public, moved bool) string {
	if !moved || public || covered(rootSet(), name) {
		return name
	}
	return path.Join("public", name)
}

func rootSet() map[string]bool {
	set := map[string]bool{}
	for _, name := range rootFiles {
		set[name] = true
	}
	return set
}

// placeOf is where a plugin lies in a tree.
func placeOf(in moodle.DiskPlugins, component string) (string, bool) {
	kind, name, _ := strings.Cut(component, "_")
	dir, known := in.Types[kind]
	return path.Join(dir, name), known
}

// thirdParty are the plugins of the live code that Moodle does not bring along: by the code's own list, else by what
// Moodle says of the installed ones.
func (u *update) thirdParty() (found []string) {
	for component := range u.disk.Dirs {
		standard := slices.Contains(u.disk.Standard, component)
		if u.disk.Standard == nil && !slices.Contains(u.contrib, component) || standard {
			continue
		}
		found = append(found, component)
	}
	return found
}
