package stand_test

import (
	"fmt"
	"io"
	"net/http"
	"net/smtp"
	"strings"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// closing ends a part of the stand with the test.
func closing(t *testing.T, part io.Closer) {
	t.Helper()
	t.Cleanup(func() {
		if err := part.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestSiteOverTLS(t *testing.T) {
	t.Parallel()
	stand.Need(t, stand.MariaDB, stand.PHP, stand.PHPFPM, stand.Nginx)
	dir := stand.TempDir(t)
	db, err := stand.StartMariaDB(t.Context(), dir, stand.MariaDBOptions{})
	if err != nil {
		t.Fatal(err)
	}
	closing(t, db)
	site, err := stand.NewSite(t.Context(), dir, db, stand.SiteOptions{Version: "5.1", Config: stand.ConfigGetenv, Password: everyPrintable()})
	if err != nil {
		t.Fatal(err)
	}
	fpm, err := stand.StartPHPFPM(t.Context(), dir, site.Environment()...)
	if err != nil {
		t.Fatal(err)
	}
	closing(t, fpm)
	nginx, err := stand.StartNginx(t.Context(), dir, site, fpm, stand.NginxOptions{})
	if err != nil {
		t.Fatal(err)
	}
	closing(t, nginx)

	wantPage(t, nginx.Client(), nginx.URL+"/login/index.php", http.StatusOK, "Log in to the site | standin")
	wantPage(t, http.DefaultClient, nginx.StubStatusURL, http.StatusOK, "Active connections")
	if out, err := site.CLI(t.Context(), "maintenance", "--enable").CombinedOutput(); err != nil {
		t.Fatalf("maintenance.php --enable: %v: %s", err, out)
	}
	wantPage(t, nginx.Client(), nginx.URL+"/", http.StatusServiceUnavailable, "Site maintenance")
	if out, err := site.CLI(t.Context(), "maintenance", "--disable").CombinedOutput(); err != nil {
		t.Fatalf("maintenance.php --disable: %v: %s", err, out)
	}
	db.Kill()
	wantPage(t, nginx.Client(), nginx.URL+"/", http.StatusInternalServerError, "Database connection failed")

	if err := nginx.Renew(t.Context(), stand.CertificateOptions{NotAfter: time.Now().Add(-time.Minute)}); err != nil {
		t.Fatal(err)
	}
	if _, err := nginx.Client().Get(nginx.URL); err == nil || !strings.Contains(err.Error(), "expired") {
		t.Errorf("with an expired certificate the client says %v", err)
	}
}

func wantPage(t *testing.T, client *http.Client, url string, status int, text string) {
	t.Helper()
	response, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != status || !strings.Contains(string(body), text) {
		t.Errorf("%s: %s %q, want %d with %q", url, response.Status, body, status, text)
	}
	if retry := response.Header.Get("Retry-After"); (status == http.StatusServiceUnavailable) != (retry != "") {
		t.Errorf("%s: Retry-After is %q with status %d", url, retry, status)
	}
}

func TestRedisTakesAnyPassword(t *testing.T) {
	t.Parallel()
	stand.Need(t, stand.Redis)
	redis, err := stand.StartRedis(t.Context(), stand.TempDir(t), everyPrintable())
	if err != nil {
		t.Fatal(err)
	}
	closing(t, redis)
}

// TestMailReachesSink lets a rule that always fires go the whole way into a mailbox.
func TestMailReachesSink(t *testing.T) {
	t.Parallel()
	stand.Need(t, stand.Prometheus, stand.Alertmanager)
	dir := stand.TempDir(t)
	sink, err := stand.StartSMTPSink(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	closing(t, sink)
	alertmanager, err := stand.StartAlertmanager(t.Context(), dir, fmt.Sprintf(`
global: {smtp_smarthost: "%s", smtp_from: from@example.org, smtp_require_tls: false}
route: {receiver: admin, group_wait: 1s}
receivers: [{name: admin, email_configs: [{to: admin@example.org}]}]
`, sink.Address))
	if err != nil {
		t.Fatal(err)
	}
	closing(t, alertmanager)
	const rules = `groups: [{name: g, interval: 1s, rules: [{alert: Überall, expr: vector(1)}]}]`
	prometheus, err := stand.StartPrometheus(t.Context(), dir, fmt.Sprintf(`
global: {evaluation_interval: 1s}
rule_files: [%s]
alerting: {alertmanagers: [{static_configs: [{targets: ["%s"]}]}]}
`, writeRules(t, dir, rules), strings.TrimPrefix(alertmanager.URL, "http://")))
	if err != nil {
		t.Fatal(err)
	}
	closing(t, prometheus)
	mail, err := sink.WaitFor(func(m stand.Message) bool { return strings.Contains(m.Subject, "Überall") }, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if len(mail.To) != 1 || mail.To[0] != "admin@example.org" || mail.From != "from@example.org" {
		t.Errorf("mail from %q to %q", mail.From, mail.To)
	}
}

func TestSinkKeepsOrder(t *testing.T) {
	t.Parallel()
	sink, err := stand.StartSMTPSink(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	closing(t, sink)
	for _, subject := range []string{"one", "two"} {
		body := []byte("Subject: " + subject + "\r\n\r\ntext\r\n")
		if err := smtp.SendMail(sink.Address, nil, "a@example.org", []string{"b@example.org"}, body); err != nil {
			t.Fatal(err)
		}
	}
	if got := sink.Messages(); len(got) != 2 || got[0].Subject != "one" || got[1].Subject != "two" {
		t.Errorf("got %+v", got)
	}
	if _, err := sink.WaitFor(func(stand.Message) bool { return false }, time.Millisecond); err == nil {
		t.Error("WaitFor found a mail that never came")
	}
}
