package control

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/moodle-exporter/moodle-exporter/internal/command"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// scratchSettings keep code that is tried apart from the live site: files that Moodle makes as it starts, and the
// configuration of its caches, which names the live site's Redis otherwise and is rewritten by other versions.
var scratchSettings = []string{"cachedir", "localcachedir", "tempdir", "altcacheconfigpath"}

// StageConfig is the site's config.php for staged code, to be written into its tree: caches and temporary files lie in
// directories of their own, which it makes below scratch. scratch belongs to the caller, who removes it, and the site's
// user must get through to it. With it CLI.IsPending, Checks, ShowMissing and CheckSchema of the staged code ask the
// live database and leave no trace in the live site; Upgrade is no trial whatever the configuration.
func StageConfig(site *moodle.Site, text, scratch string) (string, error) {
	user, err := command.SiteUser(site.User)
	if err != nil {
		return "", err
	}
	settings := map[string]string{}
	for _, name := range scratchSettings {
		settings[name] = filepath.Join(scratch, name)
		if err := os.MkdirAll(settings[name], 0o700); err != nil {
			return "", fmt.Errorf("stage config.php: %w", err)
		}
		if os.Geteuid() != 0 {
			continue
		}
		if err := os.Lchown(settings[name], int(user.UID), int(user.GID)); err != nil {
			return "", fmt.Errorf("stage config.php: %w", err)
		}
	}
	return moodle.StageConfig(text, settings)
}
