package live_test

import (
	"errors"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/boot"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// certificateHost is the name of the site of a booted machine.
const certificateHost = "lms.example.org"

// TestLiveOnAServer stops units of a booted Debian, on which the exporter runs as its package installs it, and occupies
// all children of PHP-FPM. Each gives the mail about its unit or pool; that the database does not answer, and pages do not
// come, is kept back. Then the dashboards are asked what they have to show of it.
func TestLiveOnAServer(t *testing.T) {
	t.Parallel()
	boot.Need(t)
	stand.Need(t, stand.Prometheus, stand.Alertmanager)
	m, site := bootSite(t)
	control := func(command ...string) {
		_, err := m.Must(t.Context(), append([]string{"systemctl"}, command...)...)
		must(t, err)
	}
	h := &host{exporter: &stand.WebServer{URL: "http://127.0.0.1:10059"}, client: m.Client()}
	units := []string{"mariadb.service", "nginx.service", site.FPMUnit, "redis-server.service", "cron.service"}
	wanted := []string{`database_up{server="/run/mysqld/mysqld.sock"} 1`, `cron_last_start_timestamp_seconds{site="` + site.Name + `"}`}
	for _, unit := range units {
		wanted = append(wanted, `service_up{unit="`+unit+`"} 1`)
	}
	h.awaitSeries(t, wanted...)
	target := unreliable(t, h.exporter.URL, m.Client().Transport)
	c := startChain(t, binary, target)

	mails := []expected{
		{subject: "Service Alert: nginx.service is not running", runbook: "MoodleServiceDown", target: target},
		{subject: "Service Alert: mariadb.service is not running", runbook: "MoodleServiceDown", target: target, suppressed: "MoodleDBDown", with: " (2 alerts)"},
		{subject: "Moodle Alert: Users wait for PHP-FPM pool www", runbook: "MoodleFPMQueueing", target: target, suppressed: "MoodleFPMSaturated"},
	}
	control("restart", "moodle-exporter.service")
	h.awaitSeries(t, wanted...)
	c.passFence(t)
	// One after the other: units that are down together are one mail.
	for _, f := range []struct {
		unit     string
		occupied bool // while it is down, users wait for pages
		mails    []expected
	}{{"nginx.service", false, mails[:1]}, {"mariadb.service", true, mails[1:]}} {
		control("stop", f.unit)
		release := func() {}
		if f.occupied {
			release = occupySite(t, m, site)
		}
		c.awaitAlarms(t, f.mails)
		control("restart", "moodle-exporter.service")
		c.passFence(t)
		release()
		control("start", f.unit)
		// What looks at the sites once a minute, or less often, looks anew.
		control("restart", "moodle-exporter.service")
		c.awaitResolved(t, f.mails)
	}
	c.wantNoOther(t, mails)
	closeServedSite(t, m, site)
	poll(t, func() error {
		if !c.answered(t, "moodle_maintenance_mode == 1") {
			return errors.New("the site is not shown as closed")
		}
		return nil
	})
	c.wantPanels(t, target, site.Name)
}

// occupySite lets users wait for a page of the site that does not end by itself.
func occupySite(t *testing.T, m *boot.Machine, site *boot.Site) (release func()) {
	t.Helper()
	end := site.DocRoot + "/end"
	page := "<?php while (!file_exists(" + stand.PHPString(end) + ")) { usleep(100000); clearstatcache(); }"
	must(t, m.WriteFile(t.Context(), site.DocRoot+"/slow.php", []byte(page), 0o644, "root:root"))
	client := m.Client()
	leave := occupy(t, client, site.WWWRoot+"/slow.php")
	return func() {
		must(t, m.WriteFile(t.Context(), end, nil, 0o644, "root:root"))
		leave()
	}
}

// bootSite boots a Debian with a site, on which every kind of job but those that change it has run once.
func bootSite(t *testing.T) (*boot.Machine, *boot.Site) {
	t.Helper()
	m, err := boot.Start(t.Context(), boot.Options{})
	must(t, err)
	closing(t, m)
	site, err := m.InstallSite(t.Context(), boot.SiteOptions{})
	must(t, err)
	run := func(command ...string) {
		t.Helper()
		_, err := m.Must(t.Context(), command...)
		must(t, err)
	}
	// The site's certificate is its own authority, which the host trusts from now on.
	run("install", "-D", "-m", "644", "/etc/letsencrypt/live/"+certificateHost+"/fullchain.pem", "/usr/local/share/ca-certificates/site.crt")
	run("update-ca-certificates")
	must(t, m.InstallExporter(t.Context(), binary))
	must(t, m.ApplyGrants(t.Context()))
	must(t, m.WriteFile(t.Context(), "/etc/moodle-exporter/moodle-exporter.yml", []byte("redis:\n  - {address: \"127.0.0.1:6379\"}\n"), 0o644, "root:root"))
	must(t, m.WaitActive(t.Context(), "moodle-exporter.service"))
	// The timer takes the look again soon; a server has time for that.
	for _, work := range []string{"backup", "verify", "drill", "probe"} {
		run("systemctl", "start", "moodle-exporter-"+work+".service")
	}
	run("systemctl", "restart", "moodle-exporter.service")
	return m, site
}

// closeServedSite puts the site into maintenance mode, which root's look sees; a timer takes it every five minutes.
func closeServedSite(t *testing.T, m *boot.Machine, site *boot.Site) {
	t.Helper()
	for _, command := range [][]string{
		{"runuser", "-u", "www-data", "--", "php", site.CodeDir + "/admin/cli/maintenance.php", "--enable"}, {"systemctl", "start", "moodle-exporter-probe.service"},
	} {
		_, err := m.Must(t.Context(), command...)
		must(t, err)
	}
}
