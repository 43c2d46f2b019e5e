package restore

import (
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// TestPlacesOfAManifest takes only those that a site can be at.
func TestPlacesOfAManifest(t *testing.T) {
	good := backup.Manifest{
		Format: 1, ID: "20260301T030000Z", Site: "lms", Components: []string{backup.Database, backup.Files, backup.Code, backup.Config},
		Moodle:   backup.Moodle{WWWRoot: "https://lms.example.org", User: "www-data", Code: "/srv/lms/code", Dataroot: "/moodledata", Filedir: "/moodledata/filedir"},
		Database: &backup.DatabaseContent{Name: "moodle", Prefix: "mdl_"},
	}
	other := &moodle.Site{Name: "other", Dir: "/srv/other/code", Link: "/srv/other/code"}
	other.Config.DataRoot, other.Config.DBName, other.Config.Prefix = "/srv/other/data", "shared", "o_"
	for _, c := range []struct {
		name   string
		change func(m *backup.Manifest)
		wrong  string // in the error; empty for a good one
	}{
		{"as it was", func(*backup.Manifest) {}, ""},
		{"code in /etc", func(m *backup.Manifest) { m.Moodle.Code = "/etc/nginx" }, "place of the system"},
		{"code above a place of the system", func(m *backup.Manifest) { m.Moodle.Code = "/var/lib" }, "place of the system"},
		{"code at the top", func(m *backup.Manifest) { m.Moodle.Code = "/" }, "code"},
		{"all homes", func(m *backup.Manifest) { m.Moodle.Dataroot = "/home" }, "holds more"},
		{"relative", func(m *backup.Manifest) { m.Moodle.Dataroot = "srv/data" }, "absolute"},
		{"dots", func(m *backup.Manifest) { m.Moodle.Dataroot = "/srv/../etc" }, "absolute"},
		{"root's home as filedir", func(m *backup.Manifest) { m.Moodle.Filedir = "/root/.ssh" }, "place of the system"},
		{"dataroot in the code", func(m *backup.Manifest) { m.Moodle.Dataroot = "/srv/lms/code/data" }, "lies in the other"},
		{"another site's code", func(m *backup.Manifest) { m.Moodle.Code = "/srv/other/code" }, "site other"},
		{"above another site", func(m *backup.Manifest) { m.Moodle.Code = "/srv/other" }, "site other"},
		{"another site's tables", func(m *backup.Manifest) { m.Database.Name, m.Database.Prefix = "shared", "o_" }, "site other"},
		{"the server's schema", func(m *backup.Manifest) { m.Database.Name = "MySQL" }, "schema"},
		{"a prefix with a quote", func(m *backup.Manifest) { m.Database.Prefix = "a`b" }, "prefix"},
		{"no address", func(m *backup.Manifest) { m.Moodle.WWWRoot = "javascript:alert(1)" }, "address"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := good
			content := *good.Database
			m.Database = &content
			c.change(&m)
			o := Options{Reader: backup.NewReader(nil, &m), Others: []*moodle.Site{other}}
			_, err := o.findTarget()
			if c.wrong == "" && err != nil || c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)) {
				t.Errorf("%v, want %q", err, c.wrong)
			}
		})
	}
}

// TestAccountOfABackup gives the site's own account its own schema, and nothing else to nobody else.
func TestAccountOfABackup(t *testing.T) {
	r := &restoration{site: &moodle.Site{}, target: target{database: "moodle"}}
	r.site.Config.DBUser = "o`brien"
	const own = "`o``brien`@`localhost`"
	for statement, given := range map[string]bool{
		"CREATE USER IF NOT EXISTS " + own + " IDENTIFIED BY PASSWORD '*ABC'":                                                                   true,
		"CREATE USER IF NOT EXISTS " + own + " IDENTIFIED WITH 'caching_sha2_password' AS '$A$005$x,y''z' REQUIRE NONE PASSWORD EXPIRE DEFAULT": true,
		"CREATE USER IF NOT EXISTS 'o`brien'@'%'":                                                                                               true,
		"GRANT USAGE ON *.* TO " + own + " IDENTIFIED BY PASSWORD '*ABC'":                                                                       true,
		"GRANT ALL PRIVILEGES ON `moodle`.* TO " + own:                                                                                          true,
		"GRANT SELECT, INSERT ON `moodle`.* TO " + own:                                                                                          true,
		"GRANT ALL PRIVILEGES ON `mysql`.* TO " + own:                                                                                           false,
		"GRANT ALL PRIVILEGES ON *.* TO " + own:                                                                                                 false,
		"GRANT ALL PRIVILEGES ON `moodle`.* TO " + own + " with grant option":                                                                   false,
		"GRANT ALL PRIVILEGES ON `moodle`.* TO " + own + ", `evil`@`%`":                                                                         false,
		"CREATE USER IF NOT EXISTS " + own + " IDENTIFIED BY 'x', `evil`@`%`":                                                                   false,
		"CREATE USER IF NOT EXISTS `evil`@`%` IDENTIFIED BY 'o`brien'":                                                                          false,
		"CREATE USER IF NOT EXISTS " + own + "; DROP DATABASE moodle":                                                                           false,
		"DROP DATABASE moodle":                                false,
		"SET GLOBAL general_log_file = '/etc/cron.d/o`brien'": false,
	} {
		r.result.Notes = nil
		if got := len(r.allowed(statement+";\n")) == 1; got != given || got == (len(r.result.Notes) > 0) {
			t.Errorf("%s: given %v, notes %q", statement, got, r.result.Notes)
		}
	}
}
