package moodle

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

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
	Patience  time.Duration // with the disk of one site; 0: 30 s
}

// Problem is a place that looks like a site and cannot be used, and why.
type Problem struct {
	Dir string
	Err error
}

func (p Problem) Error() string { return fmt.Sprintf("Moodle in %s: %v", p.Dir, p.Err) }

// candidateGlobs are where Moodle is usually unpacked.
var candidateGlobs = []string{"/var/www/moodle", "/var/www/html/moodle", "/var/www/*", "/var/www/html"}

// readTime bounds the reading of one site's code and config.php.
const readTime = 30 * time.Second

func (f *Finder) patience() time.Duration { return cmp.Or(f.Patience, readTime) }

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
		wanted = f.candidates(ctx)
	}
	for i, found := range f.readAll(ctx, wanted, pools) {
		if found.err != nil {
			problems = append(problems, Problem{Dir: wanted[i].Dir, Err: found.err})
			continue
		}
		sites = append(sites, found.site)
	}
	sites = f.withoutCopies(sites, len(configured) > 0)
	if err := f.name(sites); err != nil {
		f.Logger.Warn("the names of the sites cannot be kept", "err", err)
	}
	slices.SortFunc(sites, func(a, b *Site) int { return strings.Compare(a.Name, b.Name) })
	return sites, problems
}

type readSite struct {
	site *Site
	err  error
}

// readAll reads the sites side by side, so that one that stands on a hung share costs only itself.
func (f *Finder) readAll(ctx context.Context, wanted []config.Site, pools []phpfpm.Pool) []readSite {
	found := make([]readSite, len(wanted))
	var all sync.WaitGroup
	for i, entry := range wanted {
		all.Go(func() {
			found[i].site, found[i].err = Patience(ctx, f.patience(), entry.Dir, func(ctx context.Context) (*Site, error) {
				return f.read(ctx, entry, pools)
			})
		})
	}
	all.Wait()
	return found
}

// candidates are directories with a config.php that loads Moodle, each real directory once. One that does not
// answer may be a site: it is tried, and its hanging told.
func (f *Finder) candidates(ctx context.Context) []config.Site {
	var found []config.Site
	seen := map[string]bool{}
	for _, pattern := range candidateGlobs {
		path := filepath.Join(f.Root, pattern)
		dirs, err := Patience(ctx, f.patience(), path, func(context.Context) ([]string, error) { return filepath.Glob(path) })
		if err != nil {
			dirs = []string{path}
		}
		for _, dir := range dirs {
			if strings.HasPrefix(filepath.Base(dir), stagingPrefix) || seen[dir] {
				continue
			}
			real, err := Patience(ctx, f.patience(), dir, func(context.Context) (string, error) {
				real, err := filepath.EvalSymlinks(dir)
				if err == nil && !loadsMoodle(dir) {
					err = ErrNotMoodle
				}
				return real, err
			})
			if errors.Is(err, context.DeadlineExceeded) {
				real, err = dir, nil
			}
			if err != nil || seen[real] {
				continue
			}
			seen[dir], seen[real] = true, true
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
	// Only where PHP does not start at all are the literals as good as its answer. A file that PHP finds broken
	// is broken, whatever can still be read in it.
	if literalErr == nil && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)) {
		f.Logger.Warn("config.php was read without PHP, which does not start", "dir", dir, "err", err)
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
