package probe

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// unread are the sites that an earlier look has read and this one could not: config.php is broken or gone,
// or a disk is not mounted. Their old facts stay: a site that breaks must not drop out of sight, and take the
// alerts about it along. A site that was taken out of the configuration, or whose database another tree
// serves now, is rightly gone.
func (p *Probe) unread(problems []moodle.Problem, found []*moodle.Site, taken []string) (unreadable, lost []string) {
	paths, err := filepath.Glob(factsPath(p.StateDir, "*"))
	if err != nil {
		return nil, nil
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		if name == config.HostName || slices.Contains(taken, name) {
			continue
		}
		facts, err := ReadSite(p.StateDir, name)
		if err != nil {
			continue
		}
		switch {
		case slices.ContainsFunc(problems, func(problem moodle.Problem) bool { return filepath.Clean(problem.Dir) == facts.Link }):
			unreadable = append(unreadable, name)
		case len(p.Config.Sites) == 0 && !slices.ContainsFunc(found, func(site *moodle.Site) bool { return sameDatabase(site, facts) }):
			lost = append(lost, name)
		}
	}
	return unreadable, lost
}

func sameDatabase(site *moodle.Site, facts *SiteFacts) bool {
	a, b := site.Config, facts.Config
	return a.Server() == b.Server() && a.DBName == b.DBName && a.Prefix == b.Prefix
}

// lostText says of a site that discovery no longer finds what that means.
func lostText(stateDir, name string) string {
	return "site " + name + " was found by earlier looks and is no longer there: its code or config.php is gone. " +
		"If that is meant, delete " + factsPath(stateDir, name) + "; its backups stay"
}
