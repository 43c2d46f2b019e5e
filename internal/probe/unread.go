package probe

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// unread are the sites that an earlier look has read and this one could not, for a broken config.php or a
// disk that is not mounted. Their old facts stay: a site that breaks must not drop out of sight, and take
// the alerts about it along.
func (p *Probe) unread(problems []moodle.Problem, found []string) (names []string) {
	paths, err := filepath.Glob(factsPath(p.StateDir, "*"))
	if err != nil {
		return nil
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		if name == config.HostName || slices.Contains(found, name) {
			continue
		}
		facts, err := ReadSite(p.StateDir, name)
		if err == nil && slices.ContainsFunc(problems, func(problem moodle.Problem) bool { return filepath.Clean(problem.Dir) == facts.Link }) {
			names = append(names, name)
		}
	}
	return names
}
