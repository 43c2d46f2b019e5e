package boot

import (
	"context"
	"embed"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

//go:embed etc
var settings embed.FS

// SiteOptions says what site InstallSite makes; the zero value is a stand-in of Moodle 4.5 at
// https://lms.example.org in /var/www/moodle, with its data in /var/www/moodledata.
type SiteOptions struct {
	Name    string // of its directory, database and account; default moodle
	Host    string // of its wwwroot; default lms.example.org
	Version string // as in stand.SiteOptions
	Fixture bool   // with the data of a real site, where that is at hand
	// WithoutStatus leaves out stub_status and pm.status_listen, as an administrator has it who
	// has not yet pasted what "config check" prints.
	WithoutStatus bool
}

// Site is a Moodle site in the machine; paths are those of the machine.
type Site struct {
	*stand.Site
	Host string
	// FPMSocket is that of the pool www; FPMUnit is its service.
	FPMSocket, FPMUnit string
}

// The places where the machine's servers tell of themselves, unless WithoutStatus.
const (
	StubStatusURL    = "http://127.0.0.1:8080/nginx_status"
	FPMStatusAddress = "127.0.0.1:9001"
	FPMStatusPath    = "/fpm-status"
)

// InstallSite makes a site that the machine's own nginx, pool www and MariaDB serve, with cron
// each minute, and returns once its login page answers. The code is root's, the data www-data's.
func (m *Machine) InstallSite(ctx context.Context, o SiteOptions) (*Site, error) {
	if o.Name == "" {
		o.Name = "moodle"
	}
	if o.Host == "" {
		o.Host = "lms.example.org"
	}
	site := &Site{Host: o.Host}
	if err := site.findFPM(m); err != nil {
		return nil, err
	}
	for _, unit := range []string{"mariadb.service", "nginx.service", site.FPMUnit} {
		if err := m.WaitActive(ctx, unit); err != nil {
			return nil, err
		}
	}
	if err := m.buildSite(ctx, site, o); err != nil {
		return nil, fmt.Errorf("install the site %s: %w", o.Name, err)
	}
	if err := m.serveSite(ctx, site, o); err != nil {
		return nil, fmt.Errorf("serve the site %s: %w", o.Name, err)
	}
	return site, m.Poll(ctx, func(ctx context.Context) error {
		_, err := m.Get(ctx, site.WWWRoot+"/login/index.php")
		return err
	})
}

// findFPM takes the newest PHP version there is.
func (s *Site) findFPM(m *Machine) error {
	pools, err := filepath.Glob(m.HostPath("/etc/php/*/fpm/pool.d"))
	if err != nil || len(pools) == 0 {
		return fmt.Errorf("no PHP-FPM in the machine (%w)", err)
	}
	version := filepath.Base(filepath.Dir(filepath.Dir(slices.Max(pools))))
	s.FPMUnit, s.FPMSocket = "php"+version+"-fpm.service", "/run/php/php"+version+"-fpm.sock"
	return nil
}

// buildSite lets the stand build it from outside: through /proc/<pid>/root it writes into the
// machine and reaches its server's socket. What config.php names is put right afterwards.
func (m *Machine) buildSite(ctx context.Context, site *Site, o SiteOptions) error {
	outside := m.HostPath("")
	db := stand.AttachMariaDB(m.HostPath("/run/mysqld/mysqld.sock"), 3306)
	built, err := stand.NewSite(ctx, m.HostPath("/var/www"), db, stand.SiteOptions{
		Name: o.Name, Version: o.Version, Fixture: o.Fixture, WWWRoot: "https://" + o.Host, Socket: true,
	})
	if err != nil {
		return err
	}
	configFile := filepath.Join(built.CodeDir, "config.php")
	content, err := os.ReadFile(configFile)
	if err != nil {
		return err
	}
	if err := os.WriteFile(configFile, []byte(strings.ReplaceAll(string(content), outside, "")), 0o640); err != nil {
		return err
	}
	for _, path := range []*string{&built.CodeDir, &built.DocRoot, &built.Dataroot} {
		*path = strings.TrimPrefix(*path, outside)
	}
	site.Site = built
	return nil
}

// serveSite writes the settings of nginx, the pool and cron, and reloads.
func (m *Machine) serveSite(ctx context.Context, site *Site, o SiteOptions) error {
	live := "/etc/letsencrypt/live/" + site.Host
	if _, err := m.Must(ctx, "install", "-d", "-m", "0700", "/etc/letsencrypt/live", live); err != nil {
		return err
	}
	err := stand.WriteCertificate(m.HostPath(live+"/fullchain.pem"), m.HostPath(live+"/privkey.pem"),
		stand.CertificateOptions{Hosts: []string{site.Host}})
	if err != nil {
		return err
	}
	pool := "/etc/php/" + strings.TrimSuffix(strings.TrimPrefix(site.FPMUnit, "php"), "-fpm.service") + "/fpm/pool.d/www.conf"
	files := map[string][]string{
		pool:                                 {"fpm-pool.conf", "fpm-status.conf"},
		"/etc/nginx/sites-enabled/" + o.Name: {"nginx-site.conf"},
		"/etc/nginx/conf.d/status.conf":      {"nginx-status.conf"},
		"/etc/cron.d/" + o.Name:              {"moodle.cron"},
	}
	if o.WithoutStatus {
		files[pool] = files[pool][:1]
		delete(files, "/etc/nginx/conf.d/status.conf")
	}
	fill := strings.NewReplacer("{host}", site.Host, "{docroot}", site.DocRoot, "{code}", site.CodeDir, "{socket}", site.FPMSocket)
	for path, parts := range files {
		var text strings.Builder
		for _, part := range parts {
			content, err := settings.ReadFile("etc/" + part)
			if err != nil {
				return err
			}
			text.Write(content)
		}
		if err := m.WriteFile(ctx, path, []byte(fill.Replace(text.String())), 0o644, "root:root"); err != nil {
			return err
		}
	}
	hosts := "echo 127.0.0.1 \"$1\" >>/etc/hosts"
	if _, err := m.Must(ctx, "sh", "-c", hosts, "sh", site.Host); err != nil {
		return err
	}
	_, err = m.Must(ctx, "systemctl", "reload", "nginx.service", site.FPMUnit)
	return err
}
