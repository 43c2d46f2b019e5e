package moodle

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
)

// writeTree writes files under a new directory.
func writeTree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const pluginHead = "<?php\n// This file is part of Moodle\ndefined('MOODLE_INTERNAL') || die();\n"

func TestReadPlugins(t *testing.T) {
	plain := map[string]string{
		"lib/components.json":                       `{"plugintypes": {"mod": "mod", "tool": "admin\/tool", "theme": "theme", "local": "local"}, "subsystems": {"access": null}}`,
		"lib/plugins.json":                          `{"standard": {"mod": ["forum"]}, "deleted": {"mod": ["chat", "survey"], "theme": ["clean"]}}`,
		"mod/forum/version.php":                     pluginHead + "$plugin->version   = 2024100700;       // The date.\n$plugin->component = 'mod_forum';\n",
		"mod/old/version.php":                       "<?php\nif (!isset($plugin)) { $plugin = new stdClass(); }\n$plugin->version = 2012010100.01;\n$plugin->cron = 0;\n",
		"mod/computed/version.php":                  pluginHead + "$plugin->version = max(1, 2);\n",
		"mod/assign/version.php":                    pluginHead + "$plugin->version = 1;\n",
		"mod/assign/db/subplugins.json":             `{"plugintypes": {"assignsubmission": "mod\/assign\/submission"}}`,
		"mod/assign/submission/file/version.php":    pluginHead + "$plugin->version = 2;\n",
		"mod/ancient/version.php":                   pluginHead + "$plugin->version = 3;\n",
		"mod/ancient/db/subplugins.php":             "<?php\n$subplugins = array('ancientpart' => 'mod/ancient/part');\n",
		"mod/ancient/part/x/version.php":            pluginHead + "$plugin->version = 4;\n",
		"mod/new/version.php":                       pluginHead + "$plugin->version = 5;\n",
		"mod/new/db/subplugins.json":                `{"subplugintypes": {"newpart": "part"}, "plugintypes": {"newpart": "mod/new/part"}}`,
		"mod/new/part/y/version.php":                pluginHead + "$plugin->version = 6;\n",
		"mod/index.php":                             "<?php\n",
		"mod/no_plugin/lib.php":                     "<?php\n",
		"mod/.hidden/version.php":                   pluginHead + "$plugin->version = 7;\n",
		"mod/Upper/version.php":                     pluginHead + "$plugin->version = 7;\n",
		"admin/tool/log/version.php":                pluginHead + "$plugin->version = 8;\n",
		"admin/tool/log/db/subplugins.json":         `{"plugintypes": {"logstore": "admin/tool/log/store", "evil": "../../../../etc", "evil2": "/etc"}}`,
		"admin/tool/log/store/a/version.php":        pluginHead + "$plugin->version = 9;\n",
		"theme/boost/version.php":                   pluginHead + "$plugin->version = 10;\n",
		"mod/forum/db/subplugins.json":              `not JSON`,
		"mod/forum/report/summary/version.php":      pluginHead,
		"blocks/not_in_components.json/version.php": pluginHead,
	}
	want := map[string]string{
		"mod_forum": "2024100700", "mod_old": "2012010100.01", "mod_computed": "", "mod_assign": "1", "assignsubmission_file": "2", "mod_ancient": "3",
		"ancientpart_x": "4", "mod_new": "5", "newpart_y": "6", "tool_log": "8", "logstore_a": "9", "theme_boost": "10", "mod_linked": "",
	}
	public := map[string]string{}
	for name, content := range plain {
		if filepath.Dir(name) != "lib" {
			name = "public/" + name
		}
		public[name] = content
	}
	for name, layout := range map[string]struct {
		files   map[string]string
		version Version
		web     string
	}{"4.5": {plain, Version{}, ""}, "5.1": {public, Version{Public: true}, "public"}} {
		t.Run(name, func(t *testing.T) {
			dir := writeTree(t, layout.files)
			// A plugin that lies elsewhere is there, although nothing of it is read.
			outside := writeTree(t, map[string]string{"version.php": pluginHead + "$plugin->version = 11;\n"})
			if err := os.Symlink(outside, filepath.Join(dir, layout.web, "mod", "linked")); err != nil {
				t.Fatal(err)
			}
			got, err := ReadPlugins(dir, layout.version)
			if err != nil {
				t.Fatal(err)
			}
			if !maps.Equal(got.Versions, want) {
				t.Errorf("plugins %v, want %v", got.Versions, want)
			}
			if !slices.Equal(got.Dropped, []string{"mod_chat", "mod_survey", "theme_clean"}) {
				t.Errorf("dropped %q", got.Dropped)
			}
			installed := map[string]string{
				"mod_forum": "1", "mod_linked": "1", "mod_chat": "1", "mod_lost": "1", "lostpart_x": "1", "evil_x": "1", "nounderscore": "1", "_x": "1", "y_": "1",
			}
			if missing := got.Missing(installed); !slices.Equal(missing, []string{"lostpart_x", "mod_lost"}) {
				t.Errorf("missing %q", missing)
			}
		})
	}
}

// What a hostile tree holds is an error, or left out; nothing hangs.
func TestReadPluginsOfHostileTrees(t *testing.T) {
	many := map[string]string{"lib/components.json": `{"plugintypes": {"mod": "mod"}}`}
	for i := range 30 {
		many["mod/m"+strconv.Itoa(i)+"/version.php"] = pluginHead
	}
	loop := map[string]string{
		"lib/components.json": `{"plugintypes": {"mod": "mod"}}`, "mod/a/version.php": pluginHead,
		"mod/a/db/subplugins.json": `{"plugintypes": {"mod": "mod", "apart": "mod"}}`,
	}
	for name, test := range map[string]struct {
		files   map[string]string
		plugins int
		fails   bool
	}{
		"empty":               {map[string]string{"x": ""}, 0, true},
		"no JSON":             {map[string]string{"lib/components.json": "<?php"}, 0, true},
		"plugins no JSON":     {map[string]string{"lib/components.json": `{}`, "lib/plugins.json": "["}, 0, true},
		"no types":            {map[string]string{"lib/components.json": `{}`}, 0, false},
		"too large":           {map[string]string{"lib/components.json": string(make([]byte, phpFileLimit+1))}, 0, true},
		"many":                {many, 30, false},
		"types in each other": {loop, 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ReadPlugins(writeTree(t, test.files), Version{})
			if (err != nil) != test.fails || len(got.Versions) != test.plugins {
				t.Errorf("%d plugins (%v), want %d, failing: %v", len(got.Versions), err, test.plugins, test.fails)
			}
		})
	}
}
