package live_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// TestLiveWithoutExporter kills the exporter of one of two hosts while a backup of it is too old: one mail says that it
// is gone, nothing is called resolved that is not, and another mail says that it is back.
func TestLiveWithoutExporter(t *testing.T) {
	t.Parallel()
	stand.Need(t, stand.MariaDB, stand.PHP, stand.PHPFPM, stand.Nginx, stand.Zstd, stand.Prometheus, stand.Alertmanager)
	h := startHost(t, binary)
	h.awaitSeries(t, `backup_last_success_timestamp_seconds{component="all",site="lms"}`, `cron_last_start_timestamp_seconds{site="exam"}`)
	c := startChain(t, binary, h.target)
	old := expected{subject: "Backup Alert: Backup of site lms is too old (7 alerts)", runbook: "MoodleBackupTooOld", target: h.target}
	gone := expected{subject: "Moodle Alert: The exporter", target: h.target}
	ageBackup(t, h)
	c.awaitAlarms(t, []expected{old})

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
	c.wantNoOther(t, []expected{old, gone})
}
