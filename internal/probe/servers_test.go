package probe

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// seeServers looks at a site with its sessions and caches in Redis, on a host with a status page of nginx.
func seeServers(t *testing.T, look *Probe, site *stand.Site) {
	write := func(path, text string) {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	configFile := filepath.Join(site.CodeDir, "config.php")
	before, err := os.ReadFile(configFile)
	if err != nil {
		t.Fatal(err)
	}
	settings := `$CFG->session_handler_class = '\core\session\redis'; $CFG->session_redis_host = 'sessions'; $CFG->session_redis_auth = 'geheim';`
	write(configFile, strings.Replace(string(before), "require_once", settings+"\nrequire_once", 1))
	write(filepath.Join(site.Dataroot, "muc/config.php"), `<?php defined('MOODLE_INTERNAL') || die();
 $configuration = array ( 'stores' => array ( 'x' => array ( 'plugin' => 'redis', 'configuration' => array ( 'server' => 'caches:6380', 'password' => 'geheim' ) ) ) );`)
	look.NginxFile = filepath.Join(t.TempDir(), "nginx.conf")
	write(look.NginxFile, "http { server { listen 127.0.0.1:8089; location = /status { stub_status; } } }")
	defer func() {
		look.NginxFile = ""
		write(configFile, string(before))
	}()
	if _, err := look.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	facts, err := ReadSite(look.StateDir, "lms")
	if err != nil || facts.Config.RedisSession != "sessions:6379" || !strings.Contains(facts.Config.SessionHandler, "redis") || !slices.Equal(facts.RedisCaches, []string{"caches:6380"}) {
		t.Errorf("%+v %v", facts, err)
	}
	host, err := ReadHost(look.StateDir)
	if err != nil || !slices.Equal(host.Nginx, []string{"http://127.0.0.1:8089/status"}) {
		t.Errorf("%+v %v", host, err)
	}
	for _, name := range []string{"lms", "_host"} {
		if content, _ := os.ReadFile(factsPath(look.StateDir, name)); strings.Contains(string(content), "geheim") {
			t.Errorf("the facts of %s hold a password", name)
		}
	}
}
