package stand_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// TestSiteKinds boots a site of each layout and each kind of config.php through its own PHP.
func TestSiteKinds(t *testing.T) {
	t.Parallel()
	stand.Need(t, stand.MariaDB, stand.PHP)
	dir := stand.TempDir(t)
	db, err := stand.StartMariaDB(t.Context(), dir, stand.MariaDBOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	for i, options := range []stand.SiteOptions{
		{Version: "4.5", Config: stand.ConfigLiteral, Socket: true, Fixture: true},
		{Version: "5.1", Config: stand.ConfigGetenv, Fixture: true},
		{Version: "4.5", Config: stand.ConfigComputed, Prefix: "mdl_"},
		{Version: "5.1", Config: stand.ConfigLiteral},
	} {
		options.Name, options.Password = fmt.Sprintf("site%d", i), everyPrintable()
		t.Run(fmt.Sprintf("%s config %d", options.Version, options.Config), func(t *testing.T) {
			site, err := stand.NewSite(t.Context(), dir, db, options)
			if err != nil {
				t.Fatal(err)
			}
			checkConfig(t, site)
			for _, step := range []struct{ script, arguments, want string }{
				{"upgrade", "--is-pending", "No upgrade needed"},
				{"maintenance", "", "Status: disabled"},
				{"cron", "--keep-alive=0", "Cron completed at"},
				{"maintenance", "--enable", "no web access"},
				{"maintenance", "", "Status: enabled"},
				{"maintenance", "--disable", "disabled"},
				{"uninstall_plugins", "--show-contrib", "mod_standin\tstandin\n"},
				{"uninstall_plugins", "--show-missing", ""},
				{"check_database_schema", "", "Database structure is ok."},
				{"purge_caches", "", ""},
				{"cfg", "--name=release", site.Release},
				{"checks", "--filter=tool_task", "OK: All 'status' checks OK"},
			} {
				out, err := site.CLI(t.Context(), step.script, strings.Fields(step.arguments)...).CombinedOutput()
				if err != nil || !strings.Contains(string(out), step.want) || step.want == "" && len(out) > 0 {
					t.Errorf("%s.php %s: %v, said %q, want %q", step.script, step.arguments, err, out, step.want)
				}
			}
		})
	}
}

func checkConfig(t *testing.T, site *stand.Site) {
	t.Helper()
	const read = `define('CLI_SCRIPT', true); define('ABORT_AFTER_CONFIG', true); require 'config.php'; echo json_encode($CFG);`
	out, err := site.PHP(t.Context(), "-r", read).Output()
	if err != nil {
		t.Fatalf("config.php: %v, said %s", err, out)
	}
	var got struct{ DBPass, Prefix, Dataroot, CacheDir string }
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if got.DBPass != site.Password || got.Prefix != site.Prefix || got.Dataroot != site.Dataroot || got.CacheDir != site.Dataroot+"/cache" {
		t.Errorf("config.php gives %+v, want those of %+v", got, site)
	}
}
