package moodle

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/job"
)

const namesFile = "sites.json"

// name gives every site its name: the configured one, else the one it had before (sites.json), else the
// base name of its directory, and for two of one base name host and path of wwwroot. A site's backups and
// history lie under its name, so it must not change when a second site appears.
func (f *Finder) name(sites []*Site) error {
	kept, err := f.keptNames()
	if err != nil {
		return err
	}
	taken := map[string]bool{config.HostName: true}
	for _, site := range sites {
		taken[site.Name] = true
	}
	for _, site := range sites {
		if had := kept[site.Link]; site.Name == "" && had != "" && !taken[had] {
			site.Name = had
			taken[had] = true
		}
	}
	for _, site := range sites {
		if site.Name == "" {
			site.Name = freshName(site, sites, taken)
			taken[site.Name] = true
		}
	}
	return f.keepNames(kept, sites)
}

func freshName(site *Site, sites []*Site, taken map[string]bool) string {
	base := filepath.Base(site.Link)
	same := slices.ContainsFunc(sites, func(other *Site) bool { return other != site && filepath.Base(other.Link) == base })
	name := cleanName(base)
	if same || taken[name] {
		_, address, _ := strings.Cut(site.Config.WWWRoot, "://")
		name = cleanName(address)
	}
	for n := 2; taken[name]; n++ {
		name = strings.TrimRight(name, "-0123456789") + "-" + strconv.Itoa(n)
	}
	return name
}

// cleanName makes a valid name of any text: lower case, other characters as -.
func cleanName(text string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-' {
			return r
		}
		return '-'
	}, strings.ToLower(text))
	name = strings.TrimLeft(name, "-._")
	if name = strings.TrimRight(name, "-"); name == "" {
		return "moodle"
	}
	return name[:min(len(name), 64)]
}

func (f *Finder) keptNames() (map[string]string, error) {
	kept := map[string]string{}
	if f.StateDir == "" {
		return kept, nil
	}
	content, err := os.ReadFile(filepath.Join(f.StateDir, namesFile))
	if errors.Is(err, fs.ErrNotExist) {
		return kept, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the names of the sites: %w", err)
	}
	if err := json.Unmarshal(content, &kept); err != nil {
		return nil, fmt.Errorf("read the names of the sites in %s: %w", namesFile, err)
	}
	for dir, name := range kept {
		if !config.ValidName.MatchString(name) {
			delete(kept, dir)
		}
	}
	return kept, nil
}

// keepNames writes the names back where that is possible: root does, a reader cannot.
func (f *Finder) keepNames(kept map[string]string, sites []*Site) error {
	changed := false
	for _, site := range sites {
		if kept[site.Link] != site.Name {
			kept[site.Link], changed = site.Name, true
		}
	}
	if !changed || f.StateDir == "" {
		return nil
	}
	content, err := json.MarshalIndent(kept, "", "  ")
	if err != nil {
		return err
	}
	if err := job.EnsureDir(f.StateDir, f.Group); err != nil {
		return err
	}
	return job.WriteFile(filepath.Join(f.StateDir, namesFile), append(content, '\n'), 0o640, f.Group)
}
