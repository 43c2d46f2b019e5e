package collector

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// TestPluginsMissing holds the code of whole sites against their databases, before and after a plugin got lost.
func TestPluginsMissing(t *testing.T) {
	server, fleetSites := theFleet(t)
	for i, version := range []string{"4.5", "5.1"} {
		t.Run(version, func(t *testing.T) {
			built, err := stand.NewSite(t.Context(), stand.TempDir(t), server, stand.SiteOptions{Name: "plugins" + strings.ReplaceAll(version, ".", ""), Version: version})
			must(t, err)
			t.Cleanup(func() {
				must(t, server.Exec(context.WithoutCancel(t.Context()), "DROP DATABASE "+built.Database, "DROP USER "+built.User+"@localhost, "+built.User+"@127.0.0.1"))
			})
			must(t, server.Exec(t.Context(), "GRANT SELECT ON "+built.Database+".* TO watcher@localhost"))
			site := *fleetSites[i]
			site.Config.DBName, site.Config.Prefix, site.Dir = built.Database, built.Prefix, built.CodeDir
			if site.Version, err = moodle.ReadVersion(built.CodeDir); err != nil {
				t.Fatal(err)
			}
			a, _ := activityCollector(t, []*moodle.Site{&site})
			missing := func() (float64, []string) {
				onDisk, err := moodle.ReadPlugins(site.Dir, site.Version)
				must(t, err)
				a.Plugins = func(*moodle.Site) (moodle.DiskPlugins, bool) { return onDisk, true }
				got, err := refreshed(t, a)
				must(t, err)
				return got["plugins_missing{"+site.Name+"}"], onDisk.Missing(a.activity.refresher.Last().Value[site.Name].Value.Plugins)
			}
			onDisk, err := moodle.ReadPlugins(site.Dir, site.Version)
			must(t, err)
			for line := range strings.Lines(ask(t, server, "SELECT CONCAT(plugin, ' ', value) FROM "+built.Database+"."+built.Prefix+"config_plugins WHERE name = 'version'")) {
				component, installed, _ := strings.Cut(strings.TrimSpace(line), " ")
				if onDisk.Versions[component] != installed {
					t.Errorf("%s is %q on disk, %s in the database", component, onDisk.Versions[component], installed)
				}
			}
			if count, names := missing(); count != 0 || len(names) > 0 {
				t.Errorf("in a whole site %v plugins are missing: %q", count, names)
			}
			lost, err := built.PluginDir("mod_standin")
			must(t, err)
			must(t, os.Rename(lost, lost+".away"))
			must(t, os.Remove(filepath.Join(filepath.Dir(lost), "quiz", "version.php")))
			if count, names := missing(); count != 2 || !slices.Equal(names, []string{"mod_quiz", "mod_standin"}) {
				t.Errorf("%v plugins are missing: %q", count, names)
			}
		})
	}
}

// TestUpdatesAvailable puts answers of the kind that download.moodle.org gives into a real site's database.
func TestUpdatesAvailable(t *testing.T) {
	server, sites := theFleet(t)
	// The answers are full of braces of their own.
	tables := strings.NewReplacer("{config}", "`"+schema45+"`.m45_config", "{config_plugins}", "`"+schema45+"`.m45_config_plugins")
	const (
		recent = "1795330000"
		good   = `{"status":"OK","provider":"https:\/\/download.moodle.org\/api\/1.2\/updates.php","apiver":"1.2","timegenerated":1795330000,"forbranch":"4.5","ticket":"x=","updates":`
		core   = `"core":[{"version":"2024100706.00","release":"4.5.6 (Build: 20250811)","branch":"4.5","maturity":200,"url":"https:\/\/download.moodle.org","download":"https:\/\/x"}]`
		plugin = `"mod_quiz":[{"version":"2030010100","release":"v2","maturity":200},{"version":"2030010200","release":"v3","maturity":200}],"mod_forum":[{"version":2001010100,"release":"v0","maturity":200}]`
	)
	for name, test := range map[string]struct {
		fetched, response, setting string
		known                      bool
		core, plugins              float64
	}{
		"nothing new":           {recent, good + `[]}`, "", true, 0, 0},
		"a release":             {recent, good + "{" + core + "}}", "", true, 1, 0},
		"plugins":               {recent, good + "{" + plugin + "}}", "", true, 0, 1},
		"all":                   {recent, good + "{" + plugin + "," + core + "}}", "", true, 1, 1},
		"a build of ours":       {recent, good + `{"core":[{"version":"2024100705.08","release":"4.5.5+ (Build: 20250701)","maturity":200}]}}`, "", true, 0, 0},
		"a build, and wanted":   {recent, good + `{"core":[{"version":"2024100705.08","release":"4.5.5+ (Build: 20250701)","maturity":200}]}}`, "('updatenotifybuilds','1')", true, 1, 0},
		"a beta":                {recent, good + `{"core":[{"version":2025041400,"release":"5.0beta (Build: 20250301)","maturity":100}],"mod_quiz":[{"version":2030010100,"maturity":100}]}}`, "", true, 0, 0},
		"a beta, and wanted":    {recent, good + `{"core":[{"version":2025041400,"release":"5.0beta (Build: 20250301)","maturity":100}],"mod_quiz":[{"version":2030010100,"maturity":100}]}}`, "('updateminmaturity','100')", true, 1, 1},
		"of a plugin not there": {recent, good + `{"mod_nosuch":[{"version":2030010100,"maturity":200}]}}`, "", true, 0, 0},
		"already installed":     {recent, good + `{"core":[{"version":"2024100705.01","release":"4.5.5+ (Build: 20250613)","maturity":200}]}}`, "", true, 0, 0},
		"old":                   {"1795000000", good + "{" + core + "}}", "", false, 0, 0},
		"switched off":          {recent, good + "{" + core + "}}", "('updateautocheck','0')", false, 0, 0},
		"switched off for good": {recent, good + "{" + core + "}}", "('disableupdatenotifications','1')", false, 0, 0},
		"of the branch before":  {recent, strings.ReplaceAll(good, "4.5", "4.4") + "{" + core + "}}", "", false, 0, 0},
		"an error":              {recent, `{"status":"ERROR"}`, "", false, 0, 0},
		"never asked":           {"", "", "", false, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			keep(t, "config", "config_plugins")
			statements := []string{"DELETE FROM {config_plugins} WHERE plugin='core_plugin'"}
			if test.fetched != "" {
				statements = append(statements, "INSERT INTO {config_plugins} (plugin, name, value) VALUES ('core_plugin', 'recentfetch', "+sqlText(test.fetched)+"), ('core_plugin', 'recentresponse', "+sqlText(test.response)+")")
			}
			if test.setting != "" {
				statements = append(statements, "REPLACE INTO {config} (name, value) VALUES "+test.setting)
			}
			for _, statement := range statements {
				must(t, server.Exec(t.Context(), tables.Replace(statement)))
			}
			a, _ := activityCollector(t, sites[:1])
			got, err := refreshed(t, a)
			must(t, err)
			gotCore, known := got["core_update_available{lms}"]
			if known != test.known || gotCore != test.core || got["plugin_updates_available{lms}"] != test.plugins {
				t.Errorf("known %v, core %v, plugins %v; want %v, %v, %v", known, gotCore, got["plugin_updates_available{lms}"], test.known, test.core, test.plugins)
			}
		})
	}
	t.Run("nonsense", func(t *testing.T) {
		keep(t, "config_plugins")
		must(t, server.Exec(t.Context(), "REPLACE INTO `"+schema45+"`.m45_config_plugins (plugin, name, value) VALUES ('core_plugin', 'recentfetch', "+recent+"), ('core_plugin', 'recentresponse', '<html>')"))
		a, _ := activityCollector(t, sites[:1])
		got, err := refreshed(t, a)
		if _, known := got["core_update_available{lms}"]; known || err == nil || !strings.Contains(err.Error(), "recentresponse") {
			t.Errorf("known %v, error %v", known, err)
		}
		if _, known := got["users{lms,active}"]; !known {
			t.Error("no users")
		}
	})
}
