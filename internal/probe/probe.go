package probe

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
	"sync"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/internal/command"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// Probe takes the privileged look.
type Probe struct {
	Config   *config.Config
	Finder   *moodle.Finder
	StateDir string
	Group    int // gid that may read the facts, -1 for none
	Clock    func() time.Time
	Logger   *slog.Logger
	// Services finds the units that matter to Moodle; nil where there is no systemd.
	Services func(context.Context) ([]string, error)
	// Patience with the disk of one site; 0: 90 s.
	Patience time.Duration
	// CertificateFiles are patterns used where the configuration names none.
	CertificateFiles []string
	// NginxFile is the configuration of nginx, which need not be there.
	NginxFile string
	// SettingsDir is where our configuration, passwords and keys lie.
	SettingsDir string
}

// DefaultCertificateFiles is where certbot keeps what the web server serves.
var DefaultCertificateFiles = []string{"/etc/letsencrypt/live/*/fullchain.pem"}

// Run takes the look once and writes the facts of every site and of the host. It returns the sites with
// their passwords, for a caller who runs as root anyway.
func (p *Probe) Run(ctx context.Context) ([]*moodle.Site, error) {
	sites, problems := p.Finder.Find(ctx, p.Config.Sites)
	host := &HostFacts{Format: factsFormat, Taken: p.Clock().UTC(), Sites: []string{}}
	var failures []error
	for i, looked := range p.lookAtAll(ctx, sites) {
		site := sites[i]
		if looked.err != nil {
			problems = append(problems, moodle.Problem{Dir: site.Link, Err: looked.err})
			continue
		}
		host.Sites = append(host.Sites, site.Name)
		failures = append(failures, write(p.StateDir, site.Name, looked.facts, p.Group))
	}
	p.lookAtHost(ctx, host)
	if err := ctx.Err(); err != nil {
		return sites, fmt.Errorf("take the privileged look: %w", err)
	}
	for _, problem := range problems {
		host.Problems = append(host.Problems, problem.Error())
		p.Logger.Warn("a site cannot be used", "dir", problem.Dir, "err", problem.Err)
	}
	unreadable, lost := p.unread(problems, sites, host.Sites)
	host.Sites = slices.Concat(host.Sites, unreadable, lost)
	for _, name := range lost {
		host.Problems = append(host.Problems, lostText(p.StateDir, name))
	}
	failures = append(failures, write(p.StateDir, config.HostName, host, p.Group), p.forget(host.Sites))
	return sites, errors.Join(failures...)
}

type looked struct {
	facts *SiteFacts
	err   error
}

// lookAtAll looks at the sites side by side, so that one that stands on a hung share costs only itself.
func (p *Probe) lookAtAll(ctx context.Context, sites []*moodle.Site) []looked {
	found := make([]looked, len(sites))
	var all sync.WaitGroup
	for i, site := range sites {
		all.Go(func() {
			found[i].facts, found[i].err = moodle.Patience(ctx, cmp.Or(p.Patience, lookTime), "site "+site.Name, func(ctx context.Context) (*SiteFacts, error) {
				return p.look(ctx, site), nil
			})
		})
	}
	all.Wait()
	return found
}

// RefreshBackups writes what a backup run has just changed into the facts of its site, so that nobody waits
// for the next look to see it.
func (p *Probe) RefreshBackups(ctx context.Context, site string) error {
	facts, err := ReadSite(p.StateDir, site)
	if errors.Is(err, ErrNoFacts) {
		return nil
	}
	if err != nil {
		return err
	}
	if facts.Backup, err = backup.TakeInventory(ctx, p.Config.Backup.Dir, site, p.Clock()); err != nil {
		return err
	}
	return write(p.StateDir, site, facts, p.Group)
}

func (p *Probe) look(ctx context.Context, site *moodle.Site) *SiteFacts {
	facts := &SiteFacts{
		Format: factsFormat, Taken: p.Clock().UTC(), Name: site.Name, Dir: site.Dir, Link: site.Link, User: site.User, PHP: site.PHP,
		Primary: site.Primary, Config: site.Config, Version: site.Version,
	}
	note := func(err error) {
		if err != nil {
			facts.Problems = append(facts.Problems, err.Error())
			p.Logger.Warn("part of the privileged look failed", "site", site.Name, "err", err)
		}
	}
	on, err := maintenanceFile(site.Config.DataRoot)
	if note(err); err == nil {
		facts.CLIMaintenance = &on
		facts.RedisCaches, err = moodle.CacheServers(site.Config.DataRoot)
		note(err)
	}
	note(p.askCLI(ctx, site, facts))
	note(lookAtPlugins(site, facts))
	facts.Backup, err = backup.TakeInventory(ctx, p.Config.Backup.Dir, site.Name, p.Clock())
	note(err)
	facts.Secrets, err = p.lookAtSiteSecrets(site)
	note(err)
	return facts
}

// maintenanceFile says whether the site is closed by the file that Moodle's CLI maintenance mode is.
func maintenanceFile(dataroot string) (bool, error) {
	root, err := os.OpenRoot(dataroot)
	if err != nil {
		return false, fmt.Errorf("look into dataroot: %w", err)
	}
	defer func() { _ = root.Close() }()
	_, err = root.Lstat("climaintenance.html")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// lookTime bounds the look at one site: one that stands on a hung share must not make the others' facts stale.
const lookTime = 90 * time.Second

const (
	cliCadence = 15 * time.Minute
	cliTimeout = 60 * time.Second
)

// askCLI asks the site itself whether an upgrade is pending. It starts Moodle, which takes more than a
// second, so the answer is kept for a quarter of an hour while the code stays the same.
func (p *Probe) askCLI(ctx context.Context, site *moodle.Site, facts *SiteFacts) error {
	before, err := ReadSite(p.StateDir, site.Name)
	if err == nil && before.Version == site.Version && before.UpgradePending != nil && facts.Taken.Sub(before.CLIChecked).Abs() < cliCadence {
		facts.UpgradePending, facts.CLIChecked = before.UpgradePending, before.CLIChecked
		return nil
	}
	if site.PHP == "" {
		return nil
	}
	user, err := command.SiteUser(site.User)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, cliTimeout)
	defer cancel()
	_, err = command.Output(ctx, 1<<20, command.Command{
		Name: site.PHP, Args: []string{site.CLI("upgrade.php"), "--is-pending"}, Dir: "/", User: user, Env: site.Environment,
	})
	// 0 is no; 2 and 3 are yes, the latter for one that needs no maintenance (admin/cli/upgrade.php).
	code := command.ExitCode(err)
	if code != 0 && code != 2 && code != 3 {
		return fmt.Errorf("ask upgrade.php whether an upgrade is pending: %w", err)
	}
	pending := code != 0
	facts.UpgradePending, facts.CLIChecked = &pending, facts.Taken
	return nil
}

// forget removes the facts of sites that are no longer there.
func (p *Probe) forget(sites []string) error {
	paths, err := filepath.Glob(factsPath(p.StateDir, "*"))
	if err != nil {
		return err
	}
	keep := map[string]bool{factsPath(p.StateDir, config.HostName): true}
	for _, site := range sites {
		keep[factsPath(p.StateDir, site)] = true
	}
	var failures []error
	for _, path := range paths {
		if !keep[path] {
			failures = append(failures, os.Remove(path))
		}
	}
	return errors.Join(failures...)
}
