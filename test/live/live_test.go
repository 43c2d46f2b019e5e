// Package live_test goes the whole way of an alert with real programs: a fault on a Moodle host, the built
// exporter, Prometheus with the shipped rules, Alertmanager with the shipped configuration, and a mailbox.
package live_test

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// binary is the exporter under test, built before the first test.
var binary string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, remove, err := stand.MakeTempDir()
		if err == nil {
			defer func() { _ = remove() }()
			binary, err = stand.ExporterBinary(dir)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		// Most of their time the tests wait for the clock of the rules.
		flag.Parse()
		if err := flag.Set("test.parallel", "4"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// expected is one mail that a fault must bring, and one more when it is repaired.
type expected struct {
	subject    string // without the host
	runbook    string
	target     string
	suppressed string // an alert that fires as well and must not be mailed
	with       string // what the subject says of others that ended in the same minutes
}

func (e expected) resolved() string { return "RESOLVED " + e.subject + e.with }

// TestLive breaks seven things on two hosts. Each gives the one right mail, and one more when it is
// repaired. Restarts of the exporter, when all is well and when nothing is, give none.
func TestLive(t *testing.T) {
	t.Parallel()
	stand.Need(t, stand.MariaDB, stand.PHP, stand.PHPFPM, stand.Nginx, stand.Zstd, stand.Prometheus, stand.Alertmanager)
	first, second := startHost(t, binary), startHost(t, binary)
	hosts := []*host{first, second}
	faults := []struct {
		on             *host
		happen, repair func(*testing.T, *host)
		mail           expected
	}{
		{first, fillDisk, emptyDisk, expected{
			subject: "Moodle Alert: Disk " + first.exam.Dataroot + " is almost full", runbook: "MoodleDiskSpaceCritical", suppressed: "MoodleDiskSpaceLow",
		}},
		{first, killDatabase, startDatabase, expected{
			subject: "Service Alert: Database server " + first.database.Socket + " does not answer", runbook: "MoodleDBDown",
		}},
		// Its six components and the whole.
		{second, ageBackup, makeBackup, expected{subject: "Backup Alert: Backup of site lms is too old (7 alerts)", runbook: "MoodleBackupTooOld"}},
		{second, damageBackup, healBackup, expected{
			subject: "Backup Alert: Backups of site exam are damaged", runbook: "MoodleBackupVerifyFailed", suppressed: "MoodleJobFailed",
		}},
		{second, stopCron, runCron, expected{subject: "Moodle Alert: Moodle cron of site exam is not running", runbook: "MoodleCronNotRunning"}},
		{second, closeSite, openSite, expected{subject: "Moodle Alert: Site lms is closed for maintenance", runbook: "MoodleLeftInMaintenance"}},
		{second, expireCertificate, renewCertificate, expected{
			subject: "SSL Certificate Alert: Certificate of " + second.nginx.Address + " has expired", runbook: "MoodleCertExpired", suppressed: "MoodleCertExpiringSoon",
		}},
	}
	for _, h := range hosts {
		h.awaitSeries(t, `database_up{server="`+h.database.Socket+`"} 1`, `certificate_not_after_timestamp_seconds{source="endpoint",target="`+h.nginx.Address+`"}`,
			`cron_last_start_timestamp_seconds{site="exam"}`, `backup_last_success_timestamp_seconds{component="all",site="lms"}`, `backup_max_age_seconds{component="all",site="lms"}`)
	}
	c := startChain(t, binary, first.target, second.target)
	restart := func() {
		for _, h := range hosts {
			h.restartExporter(t)
		}
	}

	restart()
	c.passFence(t)
	var mails []expected
	for _, f := range faults {
		f.mail.target = f.on.target
		mails = append(mails, f.mail)
		f.happen(t, f.on)
	}
	c.awaitAlarms(t, mails)
	restart()
	c.passFence(t)
	for _, f := range faults {
		f.repair(t, f.on)
	}
	c.awaitResolved(t, mails)
	c.wantNoOther(t, mails)
}

// awaitAlarms waits for each mail, follows its link to the runbook, and waits until each alert that must
// not be mailed is suppressed.
func (c *chain) awaitAlarms(t *testing.T, mails []expected) {
	t.Helper()
	for _, want := range mails {
		mail := c.await(t, want.subject)
		link := "http://" + want.target + "/runbooks/" + want.runbook
		if !strings.Contains(mail.Body, "ALERT: ") || !strings.Contains(mail.Body, link+"\r\n") && !strings.Contains(mail.Body, link+"\n") {
			t.Errorf("the mail says neither ALERT nor %s:\n%s", link, mail.Body)
		}
		if page, err := get(http.DefaultClient, link); err != nil || !strings.Contains(page, want.runbook) {
			t.Errorf("the runbook behind the link: %v", err)
		}
		if want.suppressed != "" {
			c.awaitSuppressed(t, want.suppressed, want.target)
		}
	}
}

func (c *chain) awaitResolved(t *testing.T, mails []expected) {
	t.Helper()
	for _, want := range mails {
		c.await(t, want.resolved())
	}
}

// wantNoOther waits until whatever was under way has arrived, and fails unless the mailbox holds two mails
// for each fault and nothing else.
func (c *chain) wantNoOther(t *testing.T, mails []expected) {
	t.Helper()
	c.passFence(t)
	var want, got []string
	for _, m := range mails {
		want = append(want, m.subject, m.resolved())
	}
	for _, m := range c.mailbox.Messages() {
		if !strings.Contains(m.Subject, fenceSummary) {
			got = append(got, subject(m))
		}
	}
	t.Logf("mails: %q", got)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the mailbox holds %d mails, want %d:\n%s\nwanted:\n%s", len(got), len(want), strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
