package host

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// hardPassword holds every printable ASCII character.
var hardPassword = func() string {
	var all strings.Builder
	for c := byte(' '); c <= '~'; c++ {
		all.WriteByte(c)
	}
	return all.String()
}()

// host is a machine with two sites.
type host struct {
	dir         string
	db          *stand.MariaDBServer
	lms, campus *stand.Site // 4.5 over TCP, with the hard password; 5.1 over the socket
	fpm         *stand.PHPFPMServer
	webs        []*stand.NginxServer // one for each site
	redis       *stand.RedisServer
	// redisPassword is the file with it.
	redisPassword string
	roots         string // the certificates of both, to be trusted
}

func startHost(ctx context.Context) (*host, error) {
	dir, remove, err := stand.MakeTempDir()
	if err != nil {
		return nil, err
	}
	atEnd(remove)
	h := &host{dir: dir}
	if h.db, err = stand.StartMariaDB(ctx, dir, stand.MariaDBOptions{}); err != nil {
		return nil, err
	}
	atEnd(h.db.Close)
	if h.fpm, err = stand.StartPHPFPM(ctx, dir); err != nil {
		return nil, err
	}
	atEnd(h.fpm.Close)
	if h.redis, err = stand.StartRedis(ctx, dir, hardPassword); err != nil {
		return nil, err
	}
	atEnd(h.redis.Close)
	h.redisPassword = filepath.Join(dir, "redis.password")
	if err := os.WriteFile(h.redisPassword, []byte(h.redis.Password+"\n"), 0o600); err != nil {
		return nil, err
	}
	if h.lms, err = h.startSite(ctx, stand.SiteOptions{Name: "lms", Password: hardPassword, Fixture: true}); err != nil {
		return nil, err
	}
	h.campus, err = h.startSite(ctx, stand.SiteOptions{Name: "campus", Version: "5.1", Socket: true, Fixture: true})
	if err != nil {
		return nil, err
	}
	return h, h.trust()
}

// startSite builds a site and serves it over TLS at the address that its config.php names.
func (h *host) startSite(ctx context.Context, o stand.SiteOptions) (*stand.Site, error) {
	port, err := stand.FreePort()
	if err != nil {
		return nil, err
	}
	o.WWWRoot = "https://localhost:" + strconv.Itoa(port)
	site, err := stand.NewSite(ctx, h.dir, h.db, o)
	if err != nil {
		return nil, err
	}
	home := filepath.Join(h.dir, "web-"+o.Name)
	if err := os.Mkdir(home, 0o755); err != nil {
		return nil, err
	}
	web, err := stand.StartNginx(ctx, home, site, h.fpm, stand.NginxOptions{Port: port})
	if err != nil {
		return nil, err
	}
	atEnd(web.Close)
	h.webs = append(h.webs, web)
	return site, nil
}

// trust puts the certificates of both sites into one file, for SSL_CERT_FILE.
func (h *host) trust() error {
	var all []byte
	for _, web := range h.webs {
		pem, err := os.ReadFile(web.CertificateFile)
		if err != nil {
			return err
		}
		all = append(all, pem...)
	}
	h.roots = filepath.Join(h.dir, "roots.pem")
	return os.WriteFile(h.roots, all, 0o644)
}

// object is a mapping in a configuration file.
type object = map[string]any

// installation is one configuration of the exporter with a state and a backup directory of its own.
type installation struct {
	*host
	dir, state, backups, config string
	settings                    object
}

// install configures the exporter for both sites. The settings given replace those of the same name; nil leaves one out.
func (h *host) install(t *testing.T, overrides object) *installation {
	t.Helper()
	i, err := h.installIn(stand.TempDir(t), overrides)
	must(t, err)
	return i
}

func (h *host) installIn(dir string, overrides object) (*installation, error) {
	i := &installation{host: h, dir: dir, state: filepath.Join(dir, "state"), backups: filepath.Join(dir, "backups"), config: filepath.Join(dir, "moodle-exporter.yml")}
	i.settings = object{
		"sites":    []object{{"name": "lms", "dir": h.lms.CodeDir}, {"name": "campus", "dir": h.campus.CodeDir}},
		"services": []string{"mariadb.service"},
		"phpfpm":   []object{{"listen": h.fpm.StatusListen, "path": h.fpm.StatusPath}},
		"nginx":    []string{h.webs[0].StubStatusURL, h.webs[1].StubStatusURL},
		"redis":    []object{{"address": h.redis.Address, "password_file": h.redisPassword}},
		"certificates": object{
			"endpoints": []string{h.webs[0].Address, h.webs[1].Address},
			"files":     []string{h.webs[0].CertificateFile},
		},
		"backup": object{
			"dir": i.backups, "config_paths": []string{filepath.Join(h.dir, "php-fpm", "php-fpm.conf")},
			"log_paths": []string{filepath.Join(h.dir, "web-lms", "nginx", "error.log")}, "system_paths": []string{"/etc/os-release"},
		},
	}
	maps.Copy(i.settings, overrides)
	return i, i.write()
}

// write writes the configuration file; JSON is YAML.
func (i *installation) write() error {
	text, err := json.Marshal(i.settings)
	if err != nil {
		return err
	}
	return os.WriteFile(i.config, text, 0o600)
}

// flags are those of every command: nothing of the machine itself is read or written, its message bus included.
func (i *installation) flags() []string {
	return []string{"--config.file=" + i.config, "--state.dir=" + i.state, "--path.dbus-socket=" + filepath.Join(i.dir, "no-bus")}
}

func (i *installation) environment() []string {
	return append(os.Environ(), "SSL_CERT_FILE="+i.roots)
}

// installBusy is install with what ordinary sites may show: a backup of each site and tasks that failed.
func (h *host) installBusy(t *testing.T) *installation {
	t.Helper()
	i := h.install(t, nil)
	for site, want := range map[string]int{"lms": 0, "campus": missingCode(h.campus)} {
		if o := i.run(t, "backup", "--site="+site); o.code != want {
			t.Fatalf("backup of %s ended with %d: %s", site, o.code, o.stderr)
		}
	}
	h.failTask(t, h.lms, `\core\task\session_cleanup_task`)
	return i
}

// missingCode is the exit code of a good backup: 3 of a site with rows from a real dump but without its moodledata.
func missingCode(site *stand.Site) int {
	if site.Real {
		return 3
	}
	return 0
}

// failTask makes a scheduled task one that failed, and cron one with a known rhythm, until the test ends.
func (h *host) failTask(t *testing.T, site *stand.Site, class string) {
	t.Helper()
	tasks, plugins := "`"+site.Database+"`."+site.Prefix+"task_scheduled", "`"+site.Database+"`."+site.Prefix+"config_plugins"
	where := " WHERE classname = '" + strings.ReplaceAll(class, `\`, `\\`) + "'"
	must(t, h.db.Exec(t.Context(),
		"UPDATE "+tasks+" SET faildelay = 240, disabled = 0"+where,
		"REPLACE INTO "+plugins+" (plugin, name, value) VALUES ('tool_task', 'lastcroninterval', '61')"))
	t.Cleanup(func() {
		must(t, h.db.Exec(context.Background(), "UPDATE "+tasks+" SET faildelay = 0"+where,
			"DELETE FROM "+plugins+" WHERE plugin = 'tool_task' AND name = 'lastcroninterval'"))
	})
}

// edit replaces text in a file until the test ends.
func edit(t *testing.T, path, old, new string) {
	t.Helper()
	before, err := os.ReadFile(path)
	must(t, err)
	if !strings.Contains(string(before), old) {
		t.Fatalf("%s does not hold %q", path, old)
	}
	must(t, os.WriteFile(path, []byte(strings.Replace(string(before), old, new, 1)), 0o640))
	t.Cleanup(func() { must(t, os.WriteFile(path, before, 0o640)) })
}
