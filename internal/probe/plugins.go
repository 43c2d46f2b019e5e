package probe

import (
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// lookAtPlugins notes the plugins in the site's code, for serve to compare with those that the database knows: code
// that was lost in an update is no error to Moodle.
func lookAtPlugins(site *moodle.Site, facts *SiteFacts) error {
	plugins, err := moodle.ReadPlugins(site.Dir, site.Version)
	if err != nil {
		return err
	}
	facts.Plugins = &plugins
	return nil
}
