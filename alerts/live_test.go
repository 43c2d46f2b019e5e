package alerts_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// TestLive breaks one thing on each of three hosts, through Prometheus, Alertmanager and mail:
// each gives the one right mail, and one more when it is repaired. A fourth host stays well.
func TestLive(t *testing.T) {
	t.Parallel()
	stand.Need(t, stand.Prometheus, stand.Alertmanager)
	faults := []struct {
		fault      fault
		subject    string // of the mail, without the host
		suppressed string // the alert that fires as well and must not be mailed
	}{
		{databaseStopped, "Service Alert: Database server /run/mysqld/mysqld.sock does not answer", "MoodleServiceDown"},
		{backupAged, "Backup Alert: Backup of site lms is too old", ""},
		{certificateExpired, "SSL Certificate Alert: Certificate of lms.example.org:443 has expired", "MoodleCertExpiringSoon"},
	}
	hosts := make([]watchedHost, len(faults)+1)
	for i := range hosts {
		hosts[i] = startFakeHost(t)
	}
	c := startChain(t, hosts)

	for i, f := range faults {
		hosts[i].Break(f.fault)
	}
	for i, f := range faults {
		mail := c.await(t, f.subject)
		runbook := fmt.Sprintf("http://%s/runbooks/Moodle", hosts[i].Address())
		if !strings.Contains(mail.Body, runbook) || !strings.Contains(mail.Body, "ALERT: ") {
			t.Errorf("%s: the mail says neither ALERT nor %s:\n%s", f.fault, runbook, mail.Body)
		}
		if f.suppressed != "" {
			c.awaitSuppressed(t, f.suppressed, hosts[i].Address())
		}
	}
	for i, f := range faults {
		hosts[i].Repair(f.fault)
	}
	for _, f := range faults {
		c.await(t, "RESOLVED "+f.subject)
	}

	c.passFence(t)
	var subjects []string
	for _, m := range c.mailbox.Messages() {
		if !strings.Contains(m.Subject, fenceSummary) {
			subjects = append(subjects, m.Subject)
		}
	}
	t.Logf("mails: %q", subjects)
	if len(subjects) != 2*len(faults) {
		t.Errorf("%d mails for %d faults, one and one resolved each: %q", len(subjects), len(faults), subjects)
	}
}
