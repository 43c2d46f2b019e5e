// Package probe is the privileged look at a host: what the unprivileged exporter may not see is looked at
// here, as root, every five minutes, and written down as facts without passwords.
package probe

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/internal/certificate"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/internal/phpfpm"
)

// Cadence is how often the look is taken; facts older than three of them are stale.
const Cadence = 5 * time.Minute

// Stale is the age from which facts no longer count as the state of the host.
const Stale = 3 * Cadence

const factsFormat = 1

// HostFacts is what was seen of the whole host, in <state>/facts/_host.json.
type HostFacts struct {
	Format       int                `json:"format"`
	Taken        time.Time          `json:"taken"`
	Sites        []string           `json:"sites"`
	Services     []string           `json:"services"`
	Pools        []phpfpm.Pool      `json:"pools"`
	Nginx        []string           `json:"nginx,omitempty"` // addresses of its status pages
	Certificates []certificate.File `json:"certificates"`
	Secrets      *Secrets           `json:"secrets,omitempty"`  // that belong to no site; nothing: not looked at
	Problems     []string           `json:"problems,omitempty"` // for a person: what could not be seen, and why
}

// SiteFacts is what was seen of one site, in <state>/facts/<site>.json.
type SiteFacts struct {
	Format  int              `json:"format"`
	Taken   time.Time        `json:"taken"`
	Name    string           `json:"name"`
	Dir     string           `json:"dir"`
	Link    string           `json:"link"`
	User    string           `json:"user"`
	PHP     string           `json:"php,omitempty"`
	Primary bool             `json:"primary"`
	Config  moodle.PHPConfig `json:"config"`
	Version moodle.Version   `json:"version"`

	CLIMaintenance *bool               `json:"cli_maintenance,omitempty"` // the maintenance file stands; nothing: dataroot does not answer
	UpgradePending *bool               `json:"upgrade_pending,omitempty"` // by the site's own upgrade.php --is-pending
	CLIChecked     time.Time           `json:"cli_checked,omitzero"`
	Plugins        *moodle.DiskPlugins `json:"plugins,omitempty"`      // in the code; nothing: it could not be read
	RedisCaches    []string            `json:"redis_caches,omitempty"` // servers of the caches, as the site writes them
	Backup         backup.Inventory    `json:"backup"`
	Secrets        *Secrets            `json:"secrets,omitempty"` // of the site; nothing: not looked at
	Problems       []string            `json:"problems,omitempty"`
}

// Site is the site as the facts describe it, with the database accounts that the configuration gives it.
func (f *SiteFacts) Site(configured []config.Site) *moodle.Site {
	site := &moodle.Site{Name: f.Name, Dir: f.Dir, Link: f.Link, User: f.User, PHP: f.PHP, Primary: f.Primary, Config: f.Config, Version: f.Version}
	for _, entry := range configured {
		if filepath.Clean(entry.Dir) == f.Link {
			site.Monitor, site.Admin = entry.Database.Monitor, entry.Database.Admin
		}
	}
	return site
}

func factsPath(stateDir, name string) string {
	return filepath.Join(stateDir, "facts", name+".json")
}

func write(stateDir, name string, facts any, group int) error {
	content, err := json.MarshalIndent(facts, "", "  ")
	if err != nil {
		return fmt.Errorf("write facts: %w", err)
	}
	if err := job.EnsureDir(stateDir, group); err != nil {
		return err
	}
	if err := job.EnsureDir(filepath.Join(stateDir, "facts"), group); err != nil {
		return err
	}
	return job.WriteFile(factsPath(stateDir, name), append(content, '\n'), 0o640, group)
}

const factsLimit = 8 << 20

// ErrNoFacts is a host on which the look has not been taken yet.
var ErrNoFacts = errors.New("no facts yet: the privileged look has not been taken; run moodle-exporter probe as root, or enable its timer")

func read(stateDir, name string, facts any) error {
	path := factsPath(stateDir, name)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNoFacts
	}
	if err == nil && (!info.Mode().IsRegular() || info.Size() > factsLimit) {
		err = fmt.Errorf("%s holds no facts (%d bytes)", path, info.Size())
	}
	if err != nil {
		return fmt.Errorf("read facts: %w", err)
	}
	content, err := os.ReadFile(path) //nolint:gosec // below the state directory
	if err != nil {
		return fmt.Errorf("read facts: %w", err)
	}
	if err := json.Unmarshal(content, facts); err != nil {
		return fmt.Errorf("read facts %s: %w", path, err)
	}
	return nil
}

// ReadHost reads the facts of the host.
func ReadHost(stateDir string) (*HostFacts, error) {
	facts := &HostFacts{}
	if err := read(stateDir, config.HostName, facts); err != nil {
		return nil, err
	}
	if facts.Format != factsFormat {
		return nil, fmt.Errorf("read facts of the host: format %d is not known to this version", facts.Format)
	}
	return facts, nil
}

// ReadSite reads the facts of one site.
func ReadSite(stateDir, name string) (*SiteFacts, error) {
	if !config.ValidName.MatchString(name) {
		return nil, fmt.Errorf("read facts: %q is no site name", name)
	}
	facts := &SiteFacts{}
	if err := read(stateDir, name, facts); err != nil {
		return nil, err
	}
	if facts.Format != factsFormat || facts.Name != name {
		return nil, fmt.Errorf("read facts of site %s: format %d of site %q does not belong there", name, facts.Format, facts.Name)
	}
	return facts, nil
}
