package stand

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed moodle plugins schema.sql seed.sql
var embedded embed.FS

// The one plugin of each stand-in site that Moodle does not ship.
const (
	thirdParty        = "mod_standin"
	thirdPartyVersion = "2024031500"
)

// writeCode writes the stand-in's PHP and a version.php for each plugin that Moodle ships.
func (s *Site) writeCode() error {
	for from, to := range map[string]string{
		"moodle/lib/setup.php":          filepath.Join(s.CodeDir, "lib/setup.php"),
		"moodle/lib/clilib.php":         filepath.Join(s.DocRoot, "lib/clilib.php"),
		"moodle/lib/environmentlib.php": filepath.Join(s.DocRoot, "lib/environmentlib.php"),
		"moodle/lib/upgradelib.php":     filepath.Join(s.DocRoot, "lib/upgradelib.php"),
		"moodle/cli":                    filepath.Join(s.CodeDir, "admin/cli"),
		"moodle/web":                    s.DocRoot,
		"moodle/replace":                filepath.Join(s.DocRoot, "admin/tool/replace/cli"),
	} {
		if err := copyEmbedded(from, to); err != nil {
			return err
		}
	}
	if s.DocRoot != s.CodeDir {
		// What the web server serves has a config.php of its own since 5.1, which is part of Moodle.
		if err := writeFile(filepath.Join(s.DocRoot, "config.php"), []byte("<?php\nrequire_once(__DIR__ . '/../config.php');\n")); err != nil {
			return err
		}
	}
	version := fmt.Sprintf("<?php\ndefined('MOODLE_INTERNAL') || die();\n\n$version  = %s;\n$release  = %s;\n$branch   = '%s';\n$maturity = MATURITY_STABLE;\n",
		s.Version, PHPString(s.Release), s.Branch)
	if err := writeFile(filepath.Join(s.DocRoot, "version.php"), []byte(version)); err != nil {
		return err
	}
	return s.writePlugins()
}

// writePlugins writes lib/components.json, lib/plugins.json and every plugin's version.php.
// Unlike Moodle's, this components.json also names the types of subplugins.
func (s *Site) writePlugins() error {
	types, err := s.pluginDirs()
	if err != nil {
		return err
	}
	plugins, err := standardPlugins(s.layout())
	if err != nil {
		return err
	}
	standard := map[string][]string{}
	for component := range plugins {
		kind, name, _ := strings.Cut(component, "_")
		standard[kind] = append(standard[kind], name)
	}
	for _, names := range standard {
		slices.Sort(names)
	}
	plugins[thirdParty] = thirdPartyVersion
	for component, version := range plugins {
		if err := s.WritePlugin(component, version); err != nil {
			return err
		}
	}
	for name, content := range map[string]any{
		"components.json": map[string]any{"plugintypes": types},
		"plugins.json":    map[string]any{"standard": standard, "deleted": map[string][]string{}},
	} {
		data, err := json.MarshalIndent(content, "", "    ")
		if err != nil {
			return err
		}
		if err := writeFile(filepath.Join(s.CodeDir, "lib", name), data); err != nil {
			return err
		}
	}
	return nil
}

// WritePlugin puts a plugin such as "mod_quiz" with the given version into the code.
func (s *Site) WritePlugin(component, version string) error {
	dir, err := s.PluginDir(component)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("<?php\ndefined('MOODLE_INTERNAL') || die();\n\n$plugin->version   = %s;\n$plugin->requires  = 2024100100;\n$plugin->component = '%s';\n",
		version, component)
	return writeFile(filepath.Join(dir, "version.php"), []byte(text))
}

// PluginDir is where the site's Moodle version keeps the code of a plugin.
func (s *Site) PluginDir(component string) (string, error) {
	types, err := s.pluginDirs()
	if err != nil {
		return "", err
	}
	kind, name, _ := strings.Cut(component, "_")
	dir, known := types[kind]
	if !known {
		return "", fmt.Errorf("plugin %s is of no known type", component)
	}
	return filepath.Join(s.CodeDir, dir, name), nil
}

// pluginDirs maps a plugin type to its directory, relative to the code directory.
func (s *Site) pluginDirs() (map[string]string, error) {
	data, err := embedded.ReadFile("plugins/types.json")
	if err != nil {
		return nil, err
	}
	var types map[string]string
	if err := json.Unmarshal(data, &types); err != nil {
		return nil, fmt.Errorf("read the plugin types: %w", err)
	}
	public, err := filepath.Rel(s.CodeDir, s.DocRoot)
	if err != nil {
		return nil, err
	}
	for kind, dir := range types {
		types[kind] = path.Join(public, dir)
	}
	return types, nil
}

// standardPlugins is what Moodle ships, with the versions that the fixture sites have.
func standardPlugins(layout string) (map[string]string, error) {
	data, err := embedded.ReadFile("plugins/" + layout + ".txt")
	if err != nil {
		return nil, err
	}
	usual := map[string]string{"4.5": "2024100700", "5.1": "2025100600"}[layout]
	plugins := map[string]string{}
	for line := range strings.Lines(string(data)) {
		component, version, _ := strings.Cut(strings.TrimSpace(line), " ")
		plugins[component] = orDefault(version, usual)
	}
	return plugins, nil
}

func copyEmbedded(from, to string) error {
	return fs.WalkDir(embedded, from, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := embedded.ReadFile(name)
		if err != nil {
			return err
		}
		return writeFile(filepath.Join(to, strings.TrimPrefix(name, from)), data)
	})
}

// writeFile writes a file that its group may read, and the directories above it.
func writeFile(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o750); err != nil {
		return err
	}
	return os.WriteFile(name, data, 0o640)
}
