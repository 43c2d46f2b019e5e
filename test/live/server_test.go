package live_test

import (
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/boot"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// certificateHost is the name of the site of a booted machine.
const certificateHost = "lms.example.org"

// TestLiveOnAServer stops units of a booted Debian, on which the exporter runs as its package installs it.
// Each gives the mail about its unit; that the database does not answer, and pages do not come, is kept back.
func TestLiveOnAServer(t *testing.T) {
	t.Parallel()
	boot.Need(t)
	stand.Need(t, stand.Prometheus, stand.Alertmanager)
	m, err := boot.Start(t.Context(), boot.Options{})
	must(t, err)
	closing(t, m)
	site, err := m.InstallSite(t.Context(), boot.SiteOptions{})
	must(t, err)
	// The site's certificate is its own authority, which the host trusts from now on.
	for _, command := range [][]string{
		{"install", "-D", "-m", "644", "/etc/letsencrypt/live/" + certificateHost + "/fullchain.pem", "/usr/local/share/ca-certificates/site.crt"}, {"update-ca-certificates"},
	} {
		_, err := m.Must(t.Context(), command...)
		must(t, err)
	}
	must(t, m.InstallExporter(t.Context(), binary))
	must(t, m.ApplyGrants(t.Context()))
	must(t, m.WaitActive(t.Context(), "moodle-exporter.service"))
	control := func(command ...string) {
		_, err := m.Must(t.Context(), append([]string{"systemctl"}, command...)...)
		must(t, err)
	}
	h := &host{exporter: &stand.WebServer{URL: "http://127.0.0.1:10059"}, client: m.Client()}
	// The timer takes the look again soon; a server has time for that.
	control("start", "moodle-exporter-probe.service")
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
	}
	control("restart", "moodle-exporter.service")
	h.awaitSeries(t, wanted...)
	c.passFence(t)
	// One after the other: units that are down together are one mail.
	for i, unit := range []string{"nginx.service", "mariadb.service"} {
		control("stop", unit)
		c.awaitAlarms(t, mails[i:i+1])
		control("restart", "moodle-exporter.service")
		c.passFence(t)
		control("start", unit)
		// What looks at the sites once a minute, or less often, looks anew.
		control("restart", "moodle-exporter.service")
		c.awaitResolved(t, mails[i:i+1])
	}
	c.wantNoOther(t, mails)
}
