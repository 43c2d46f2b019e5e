package moodle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/internal/command"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/phpfpm"
)

// Finder finds the sites of a host. Reading a site's config.php runs it as the site's user, so a Finder
// needs root, or the rights of that user.
type Finder struct {
	Root      string   // "/" but in tests: where the candidates and the web server's files are looked up
	PoolFiles []string // patterns of PHP-FPM pool files
	StateDir  string   // holds sites.json, the names that were given; "" gives names afresh
	Group     int      // gid that may read sites.json
	Logger    *slog.Logger
}

// Problem is a place that looks like a site and cannot be used, and why.
type Problem struct {
	Dir string
	Err error
}

func (p Problem) Error() string { return fmt.Sprintf("Moodle in %s: %v", p.Dir, p.Err) }

// candidateGlobs are where Moodle is usually unpacked.
var candidateGlobs = []string{"/var/www/moodle", "/var/www/html/moodle", "/var/www/*", "/var/www/html"}

// stagingPrefix begins the names of trees that an update or restore keeps beside the live one.
const stagingPrefix = ".mxp-"

// Find returns the sites of this host with their names, sorted, and what could not be used. Configured
// sites are taken as configured; only without any is the host searched.
func (f *Finder) Find(ctx context.Context, configured []config.Site) ([]*Site, []Problem) {
	pools, err := phpfpm.ReadPools(f.PoolFiles...)
	if err != nil {
		f.Logger.Warn("PHP-FPM pools cannot be read; the owner of dataroot stands for the site's user", "err", err)
	}
	var sites []*Site
	var problems []Problem
	wanted := configured
	if len(configured) == 0 {
		wanted = f.candidates()
	}
	for _, entry := range wanted {
		site, err := f.read(ctx, entry, pools)
		if err != nil {
			problems = append(problems, Problem{Dir: entry.Dir, Err: err})
			continue
		}
		sites = append(sites, site)
	}
	sites = f.withoutCopies(sites, len(configured) > 0)
	if err := f.name(sites); err != nil {
		f.Logger.Warn("the names of the sites cannot be kept", "err", err)
	}
	slices.SortFunc(sites, func(a, b *Site) int { return strings.Compare(a.Name, b.Name) })
	return sites, problems
}

// candidates are directories with a config.php that loads Moodle, each real directory once.
func (f *Finder) candidates() []config.Site {
	var found []config.Site
	seen := map[string]bool{}
	for _, pattern := range candidateGlobs {
		dirs, _ := filepath.Glob(filepath.Join(f.Root, pattern)) // the patterns are constants and valid
		for _, dir := range dirs {
			real, err := filepath.EvalSymlinks(dir)
			if err != nil || seen[real] || strings.HasPrefix(filepath.Base(dir), stagingPrefix) || !loadsMoodle(dir) {
				continue
			}
			seen[real] = true
			found = append(found, config.Site{Dir: dir})
		}
	}
	return found
}

// loadsMoodle says whether dir is the root of a configured Moodle: its config.php requires lib/setup.php,
// or is a link that leads out of the tree beside a lib/setup.php.
func loadsMoodle(dir string) bool {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return false
	}
	defer func() { _ = root.Close() }()
	if _, err := root.Stat("lib/setup.php"); err != nil {
		return false
	}
	text, err := readCapped(root, "config.php")
	if err == nil {
		return strings.Contains(text, "lib/setup.php")
	}
	_, err = root.Lstat("config.php")
	return err == nil
}

func (f *Finder) read(ctx context.Context, entry config.Site, pools []phpfpm.Pool) (*Site, error) {
	dir, err := filepath.EvalSymlinks(entry.Dir)
	if err != nil {
		return nil, fmt.Errorf("find the code: %w", err)
	}
	version, err := ReadVersion(dir)
	if err != nil {
		return nil, err
	}
	site := &Site{Name: entry.Name, Dir: dir, Link: filepath.Clean(entry.Dir), Version: version, PHP: entry.PHP,
		Primary: entry.Primary == nil || *entry.Primary, Monitor: entry.Database.Monitor, Admin: entry.Database.Admin}
	literal, literalErr := f.readStatic(dir)
	user, err := siteUser(entry.User, pools, literal.DataRoot, dir)
	if err != nil {
		return nil, err
	}
	site.User, site.Environment = user.Name, environment(pools, user.Name)
	if site.PHP == "" {
		site.PHP, _ = command.Look("php")
	}
	if site.PHP == "" || os.Geteuid() != 0 && int(user.UID) != os.Geteuid() {
		site.Config = literal
		return site, literalErr
	}
	site.Config, err = runConfig(ctx, site.PHP, filepath.Join(dir, "config.php"), user, site.Environment)
	if err != nil && literalErr == nil {
		f.Logger.Warn("config.php was read without PHP, which failed", "dir", dir, "err", err)
		site.Config, err = literal, nil
	}
	return site, err
}

// environment is what the pools of the site's user give to its PHP: config.php may read it with getenv().
func environment(pools []phpfpm.Pool, user string) []string {
	var values []string
	for _, pool := range pools {
		if pool.User == user {
			values = append(values, pool.Env...)
		}
	}
	return values
}

func (f *Finder) readStatic(dir string) (PHPConfig, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return PHPConfig{}, fmt.Errorf("open the code: %w", err)
	}
	defer func() { _ = root.Close() }()
	text, err := readCapped(root, "config.php")
	if err != nil {
		return PHPConfig{}, fmt.Errorf("read config.php: %w", err)
	}
	return parseConfig(text, dir)
}

// siteUser is the configured user, else the one whom all FPM pools run as, else the owner of dataroot.
func siteUser(configured string, pools []phpfpm.Pool, dataroot, dir string) (*command.User, error) {
	if configured != "" {
		return command.SiteUser(configured)
	}
	users := map[string]bool{}
	for _, pool := range pools {
		users[pool.User] = true
	}
	if len(users) == 1 && pools[0].User != "" {
		return command.SiteUser(pools[0].User)
	}
	var problems []error
	for _, path := range []string{dataroot, dir} {
		if path == "" {
			continue
		}
		user, err := owner(path)
		if err == nil {
			return user, nil
		}
		problems = append(problems, err)
	}
	return nil, fmt.Errorf("whom does the site's PHP run as? Name it with sites: [{dir: %s, user: …}]: %w", dir, errors.Join(problems...))
}
