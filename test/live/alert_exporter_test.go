package live_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// TestLiveWithoutExporter lets the login page of one site fail and that of the other be slow, which two mails say. Then
// it kills the exporter while a backup is too old: one mail says that it is gone, nothing is called resolved that is
// not, and another mail says that it is back.
func TestLiveWithoutExporter(t *testing.T) {
	t.Parallel()
	stand.Need(t, stand.MariaDB, stand.PHP, stand.PHPFPM, stand.Nginx, stand.Zstd, stand.Prometheus, stand.Alertmanager)
	h := startHost(t, binary)
	h.visited = true
	h.restartExporter(t)
	h.awaitSeries(t, `web_probe_success{site="lms"} 1`, `web_probe_success{site="exam"} 1`, `backup_last_success_timestamp_seconds{component="all",site="lms"}`, `cron_last_start_timestamp_seconds{site="exam"}`)
	c := startChain(t, binary, h.target)
	web := []expected{
		{subject: "Moodle Alert: Users do not get into site exam", runbook: "MoodleWebProbeFailing", target: h.target},
		{subject: "Moodle Alert: Site lms is slow", runbook: "MoodleWebSlow", target: h.target},
	}
	old := expected{subject: "Backup Alert: Backup of site lms is too old (7 alerts)", runbook: "MoodleBackupTooOld", target: h.target}
	gone := expected{subject: "Moodle Alert: The exporter", target: h.target}
	ageBackup(t, h)
	repair := breakPages(t, h)
	c.awaitAlarms(t, append(web, old))
	repair()
	c.awaitResolved(t, web)

	_, port, _ := strings.Cut(hostPort(h.exporter.URL), ":")
	number, err := strconv.Atoi(port)
	must(t, err)
	closeNow(t, h.exporter)
	c.await(t, gone.subject+" cannot be scraped")
	c.passFence(t)
	h.startExporter(t, number)
	c.await(t, "RESOLVED "+gone.subject+" cannot be scraped")
	makeBackup(t, h)
	c.awaitResolved(t, []expected{old})
	gone.subject += " cannot be scraped"
	c.wantNoOther(t, append(web, old, gone))
}

// breakPages makes the login page of the site exam an error, as a fault in its code does, and that of the site lms take
// its time. They are visited anew when the exporter starts.
func breakPages(t *testing.T, h *host) (repair func()) {
	t.Helper()
	pages := map[*stand.Site]string{h.exam: "<?php http_response_code(500); exit;", h.lms: "<?php sleep(4); ?>"}
	whole := map[*stand.Site][]byte{}
	write := func(site *stand.Site, content []byte) {
		must(t, os.WriteFile(loginPage(site), content, 0o644))
	}
	for site, before := range pages {
		content, err := os.ReadFile(loginPage(site))
		must(t, err)
		whole[site] = content
		write(site, append([]byte(before), content...))
	}
	h.restartExporter(t)
	return func() {
		for site, content := range whole {
			write(site, content)
		}
		h.restartExporter(t)
	}
}

func loginPage(site *stand.Site) string { return filepath.Join(site.DocRoot, "login", "index.php") }
