package update

import (
	"archive/tar"
	"context"
	"fmt"
	"path"
	"regexp"

	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// ValidComponent is the name of a plugin with its type, such as mod_checklist.
var ValidComponent = regexp.MustCompile(`^[a-z][a-z0-9]*_[a-z][a-z0-9_]*$`)

var namesComponent = regexp.MustCompile(`(?m)^\s*\$plugin\s*->\s*component\s*=\s*['"]([a-z0-9_]+)['"]`)

// addPlugin unpacks a plugin into the new code, in place of the one that is there.
func (u *update) addPlugin(ctx context.Context, plugin Plugin) error {
	dir := u.staging.path(newTree)
	version, err := moodle.ReadVersion(dir)
	if err != nil {
		return err
	}
	disk, err := moodle.ReadPlugins(dir, version)
	if err != nil {
		return err
	}
	place, known := placeOf(disk, plugin.Component)
	if !known {
		return refusedSource("the new code knows no plugins of the type of "+plugin.Component, "check its name; plugins of plugins come after the plugin that they belong to")
	}
	file, err := openChecked(ctx, plugin.File, "", false)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := u.staging.root.RemoveAll(place); err != nil {
		return err
	}
	w := &rewriter{like: u.staging.like, strip: true, prefix: place}
	err = put(ctx, u.staging.root, func(to *tar.Writer) error {
		w.to = to
		return w.zip(ctx, file)
	})
	if err != nil {
		return fmt.Errorf("unpack %s: %w", plugin.File, err)
	}
	text, err := u.staging.root.ReadFile(path.Join(place, "version.php"))
	if err != nil {
		return refusedSource(fmt.Sprintf("%s holds no plugin: %v", plugin.File, err), "download the plugin's own .zip, from https://moodle.org/plugins")
	}
	if named := namesComponent.FindSubmatch(text); named != nil && string(named[1]) != plugin.Component {
		return refusedSource(fmt.Sprintf("%s holds the plugin %s and not %s", plugin.File, named[1], plugin.Component), "name the plugin that it holds")
	}
	return nil
}
