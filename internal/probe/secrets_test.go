package probe

import (
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/internal/command"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// vault is a host with each kind of secret, all closed.
type vault struct {
	dir    string
	probe  *Probe
	site   *moodle.Site
	web    *command.User // the site's user
	reader *command.User // stands for the exporter's
}

// kept is a file or directory of the vault: mode and owner as they should be.
type kept struct {
	path         string
	dir          bool
	mode         fs.FileMode
	owner, group func(*vault) uint32
}

func root(*vault) uint32     { return 0 }
func web(v *vault) uint32    { return v.web.GID }
func reader(v *vault) uint32 { return v.reader.GID }

var kepts = []kept{
	{"www", true, 0o755, root, root},
	{"www/config.php", false, 0o640, root, web},
	{"backups", true, 0o700, root, root},
	{"backups/lms", true, 0o700, root, root},
	{"state", true, 0o750, root, reader},
	{"etc", true, 0o755, root, root},
	{"etc/moodle-exporter.yml", false, 0o640, root, reader},
	{"etc/monitor's password", false, 0o640, root, reader},
	{"keys", true, 0o755, root, root},
	{"keys/admin", false, 0o600, root, root},
	{"keys/redis", false, 0o640, root, reader},
	{"keys/access", false, 0o600, root, root},
	{"keys/secret", false, 0o600, root, root},
	{"nginx", true, 0o755, root, root},
	{"nginx/nginx.conf", false, 0o644, root, root},
	{"nginx/tls.key", false, 0o640, root, web}, // as the group ssl-cert of Debian
	{"live", true, 0o755, root, root},
	{"live/privkey.pem", false, 0o600, root, root},
}

func newVault(t *testing.T) *vault {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("files of other owners take root")
	}
	v := &vault{dir: stand.TempDir(t)}
	for name, into := range map[string]**command.User{"www-data": &v.web, "nobody": &v.reader} {
		var err error
		if *into, err = command.LookupUser(name); err != nil {
			t.Fatal(err)
		}
	}
	for _, one := range kepts {
		path := filepath.Join(v.dir, one.path)
		var err error
		if one.dir {
			err = os.Mkdir(path, one.mode)
		} else {
			err = os.WriteFile(path, []byte("http { server { ssl_certificate_key "+v.dir+"/nginx/tls.key; } }\n"), one.mode)
		}
		if err == nil {
			err = os.Chown(path, int(one.owner(v)), int(one.group(v)))
		}
		if err == nil {
			err = os.Chmod(path, one.mode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	settings, err := config.Parse([]byte(`
sites: [{name: lms, dir: ` + v.dir + `/www, database: {monitor: {user: m, password_file: "` + v.dir + `/etc/monitor's password"}, admin: {user: a, password_file: ` + v.dir + `/keys/admin}}}]
redis: [{address: "127.0.0.1:6379", password_file: ` + v.dir + `/keys/redis}]
certificates: {files: [` + v.dir + `/live/fullchain.pem]}
backup: {dir: ` + v.dir + `/backups, offsite: {endpoint: "https://s3.example.org", bucket: b, access_key_file: ` + v.dir + `/keys/access, secret_key_file: ` + v.dir + `/keys/secret}}`))
	if err != nil {
		t.Fatal(err)
	}
	v.probe = &Probe{
		Config: settings, StateDir: v.dir + "/state", Group: int(v.reader.GID), NginxFile: v.dir + "/nginx/nginx.conf", SettingsDir: v.dir + "/etc",
		Logger: slog.New(slog.DiscardHandler),
	}
	v.site = &moodle.Site{Name: "lms", Dir: v.dir + "/www", User: v.web.Name}
	return v
}

// exposed looks at everything.
func (v *vault) exposed(t *testing.T) []Exposed {
	t.Helper()
	site, err := v.probe.lookAtSiteSecrets(v.site)
	if err != nil {
		t.Fatal(err)
	}
	host, err := v.probe.lookAtHostSecrets()
	if err != nil {
		t.Fatal(err)
	}
	if looked := site.Looked + host.Looked; looked != 11 {
		t.Errorf("%d files and directories were looked at: %+v %+v", looked, site, host)
	}
	return append(site.Exposed, host.Exposed...)
}

func TestSecrets(t *testing.T) {
	v := newVault(t)
	if found := v.exposed(t); len(found) > 0 {
		t.Fatalf("a closed host is open: %+v", found)
	}
	group := "the group " + groupName(int(v.web.GID))
	other := "the group " + groupName(int(v.reader.GID))
	for _, c := range []struct {
		path, change, who string
		grave             bool
	}{
		{"www/config.php", "chmod 0644", everybody, false},
		{"www/config.php", "chgrp nogroup", other, false},
		{"www/config.php", "chown nobody", "", false}, // whoever deploys the code
		{"www/config.php", "chmod 0600", "", false},
		{"backups/lms", "chmod 0755", "", false}, // the directory above is closed
		{"backups", "chmod 0755", "", false},     // and so is the one below
		{"state", "chmod 0755", everybody, false},
		{"state", "chgrp www-data", group, false},
		{"backups/lms", "chown www-data", "its owner, www-data", false},
		{"state", "chown www-data", "its owner, www-data", false},
		{"etc/moodle-exporter.yml", "chmod 0644", everybody, false},
		{"etc/monitor's password", "chmod 0644", everybody, false},
		{"keys/admin", "chmod 0640", "", false}, // of root's group
		{"keys/admin", "chmod 0604", everybody, true},
		{"keys/redis", "chmod 0644", everybody, false},
		{"keys/access", "chmod 0644", everybody, true},
		{"keys/secret", "chgrp www-data", "", false}, // which may not read it
		{"keys/secret", "chmod 0666", everybody, true},
		{"nginx/tls.key", "chmod 0644", everybody, true},
		{"nginx/tls.key", "chgrp nogroup", "", false},
		{"live/privkey.pem", "chmod 0644", everybody, true},
	} {
		t.Run(c.change+" "+c.path, func(t *testing.T) {
			path := filepath.Join(v.dir, c.path)
			v.run(t, c.change+` "$1"`, path)
			t.Cleanup(func() { v.close(t) })
			found := v.exposed(t)
			if c.who == "" {
				if len(found) > 0 {
					t.Errorf("open: %+v", found)
				}
				return
			}
			if len(found) != 1 || found[0].Path != path || found[0].Who != c.who || found[0].Grave != c.grave || found[0].Holds == "" {
				t.Fatalf("found %+v, want %s open to %s", found, path, c.who)
			}
			// What is advised closes it, and leaves it to those who need it.
			v.run(t, found[0].Do, "")
			if found := v.exposed(t); len(found) > 0 {
				t.Errorf("still open: %+v", found)
			}
			if c.path == "www/config.php" {
				v.run(t, `setpriv --reuid=www-data --regid=www-data --init-groups cat "$1" >/dev/null`, path)
			}
		})
	}
	t.Run("backups, all the way down", func(t *testing.T) {
		defer v.close(t)
		v.run(t, `chmod 0755 "$1" "$1/lms"`, v.dir+"/backups")
		if found := v.exposed(t); len(found) != 1 || found[0].Who != everybody || !found[0].Grave {
			t.Errorf("found %+v", found)
		}
		v.run(t, `chmod 0750 "$1" "$1/lms"; chgrp www-data "$1" "$1/lms"`, v.dir+"/backups")
		if found := v.exposed(t); len(found) != 1 || found[0].Who != group || found[0].Grave {
			t.Errorf("found %+v", found)
		}
	})
	t.Run("a link out of the code", func(t *testing.T) {
		v.run(t, `mv "$1/config.php" "$1/../elsewhere.php"; ln -s ../elsewhere.php "$1/config.php"`, v.dir+"/www")
		if found, err := v.probe.lookAtSiteSecrets(v.site); err == nil || found.Looked != 1 {
			t.Errorf("%+v (%v)", found, err)
		}
	})
}

func (v *vault) run(t *testing.T, script, path string) {
	t.Helper()
	if out, err := exec.Command("sh", "-c", script, "sh", path).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", script, err, out)
	}
}

// close gives everything its owner and mode again.
func (v *vault) close(t *testing.T) {
	t.Helper()
	for _, one := range kepts {
		v.run(t, "chown "+strconv.Itoa(int(one.owner(v)))+":"+strconv.Itoa(int(one.group(v)))+" \"$1\" && chmod "+
			strconv.FormatUint(uint64(one.mode), 8)+` "$1"`, filepath.Join(v.dir, one.path))
	}
}
