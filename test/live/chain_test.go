package live_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// speedup is by how much every duration of the rules and of Alertmanager's grouping is shortened,
// but for thresholds and repetitions. Their order among each other stays as shipped.
const speedup = 50

// mailTimeout bounds the wait for one mail; the slowest takes about 15 s.
const mailTimeout = time.Minute

// chain is the way of an alert from the hosts to the mailbox, of real programs.
type chain struct {
	alertmanager *stand.WebServer
	prometheus   *stand.WebServer
	began        time.Time
	mailbox      *stand.SMTPSink
	fences       int
}

// startChain starts Alertmanager and Prometheus with what "alerts export" writes, sped up.
func startChain(t *testing.T, binary string, targets ...string) *chain {
	t.Helper()
	mailbox, err := stand.StartSMTPSink(t.Context(), nil)
	must(t, err)
	dir := stand.TempDir(t)
	exported := filepath.Join(dir, "exported")
	if out, err := exec.CommandContext(t.Context(), binary, "alerts", "export", exported).CombinedOutput(); err != nil {
		t.Fatalf("alerts export: %v: %s", err, out)
	}
	rules, err := filepath.Glob(filepath.Join(exported, "rules", "*.yml"))
	if err != nil || len(rules) == 0 {
		t.Fatalf("no rules were exported (%v)", err)
	}
	for _, file := range append(rules, filepath.Join(exported, "alertmanager.yml")) {
		speedUp(t, file)
	}
	alertmanager, err := stand.StartAlertmanager(t.Context(), dir, alertmanagerConfig(t, exported, mailbox.Address))
	must(t, err)
	closing(t, alertmanager)
	active := filepath.Join(dir, "active")
	prometheus, err := stand.StartPrometheus(t.Context(), dir, fmt.Sprintf(`
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 250ms}
rule_files: [%q]
alerting: {alertmanagers: [{static_configs: [{targets: [%q]}]}]}
scrape_configs:
  - {job_name: moodle, static_configs: [{targets: [%s]}]}
  - {job_name: alertmanager, static_configs: [{targets: [%[2]q]}]}
`, filepath.Join(active, "*.yml"), hostPort(alertmanager.URL), `"`+strings.Join(targets, `", "`)+`"`))
	must(t, err)
	closing(t, prometheus)
	c := &chain{alertmanager: alertmanager, prometheus: prometheus, mailbox: mailbox, began: time.Now()}
	// The five minutes that a rule waits for the first scrape are six seconds here, in which a busy machine makes none.
	poll(t, func() error {
		if !c.answered(t, "count(moodle_exporter_build_info) == "+strconv.Itoa(len(targets))) {
			return errors.New("not every exporter has been scraped")
		}
		return nil
	})
	must(t, os.Rename(filepath.Join(exported, "rules"), active))
	must(t, prometheus.Reload())
	poll(t, func() error {
		if !c.answered(t, `ALERTS{alertname="Watchdog"}`) {
			return errors.New("the rules are not in force")
		}
		return nil
	})
	return c
}

// alertmanagerConfig is the exported configuration with the edits a user makes: the mail server.
func alertmanagerConfig(t *testing.T, exported, smarthost string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(exported, "alertmanager.yml"))
	must(t, err)
	elsewhen := time.Now().UTC().Add(12 * time.Hour).Hour()
	return strings.NewReplacer(
		"localhost:25", smarthost,
		"'moodle-mail.tmpl'", "'"+filepath.Join(exported, "moodle-mail.tmpl")+"'",
		// The digest of the notes comes at another hour.
		"start_time: '08:00', end_time: '17:00'", fmt.Sprintf("start_time: '%02d:00', end_time: '%02d:30'", elsewhen, elsewhen),
	).Replace(string(content))
}

// durations are those that are sped up: how long a rule waits and looks back, and how Alertmanager groups.
var durations = regexp.MustCompile(`(?m)(\b(?:for|keep_firing_for|group_wait|group_interval): |\[)([0-9]+[smhd])(\]|$)`)

func speedUp(t *testing.T, file string) {
	t.Helper()
	content, err := os.ReadFile(file)
	must(t, err)
	faster := durations.ReplaceAllStringFunc(string(content), func(text string) string {
		part := durations.FindStringSubmatch(text)
		long, err := model.ParseDuration(part[2])
		must(t, err)
		return fmt.Sprintf("%s%dms%s", part[1], (time.Duration(long) / speedup).Milliseconds(), part[3])
	})
	must(t, os.WriteFile(file, []byte(faster), 0o644))
}

func hostPort(url string) string { return strings.TrimPrefix(url, "http://") }

var hostInSubject = regexp.MustCompile(` on 127\.0\.0\.1:\d+`)

// subject is that of a mail without the host, whose port is another each time.
func subject(m stand.Message) string { return hostInSubject.ReplaceAllString(m.Subject, "") }

// await returns the mail of that subject, its body without soft line breaks.
func (c *chain) await(t *testing.T, wanted string) stand.Message {
	t.Helper()
	mail, err := c.mailbox.WaitFor(func(m stand.Message) bool { return subject(m) == wanted }, mailTimeout)
	if err != nil {
		t.Fatalf("mail %q: %v", wanted, err)
	}
	mail.Body = strings.NewReplacer("=\r\n", "", "=\n", "").Replace(mail.Body)
	return mail
}

// activeAlert is an alert as Alertmanager's API shows it.
type activeAlert struct {
	Status struct {
		State       string   `json:"state"`
		InhibitedBy []string `json:"inhibitedBy"`
	} `json:"status"`
}

// awaitSuppressed waits until the alert has reached Alertmanager and is inhibited there.
func (c *chain) awaitSuppressed(t *testing.T, alert, instance string) {
	t.Helper()
	query := url.Values{"filter": {"alertname=" + alert, fmt.Sprintf("instance=%q", instance)}}
	ctx, cancel := context.WithTimeout(t.Context(), mailTimeout)
	defer cancel()
	for {
		var found []activeAlert
		if err := json.Unmarshal(c.call(ctx, t, http.MethodGet, "/api/v2/alerts?"+query.Encode(), nil), &found); err != nil {
			t.Fatalf("alerts of Alertmanager: %v", err)
		}
		if slices.ContainsFunc(found, func(a activeAlert) bool { return a.Status.State == "suppressed" && len(a.Status.InhibitedBy) > 0 }) {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s of %s did not become suppressed: %+v", alert, instance, found)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// fenceSummary begins the summary of every fence.
const fenceSummary = "nothing else is under way"

// passFence sends an alert of its own and waits until it is mailed as resolved. That takes a whole
// group_interval, in which every alert before it had its turn: what is not mailed by then stays
// unmailed.
func (c *chain) passFence(t *testing.T) {
	t.Helper()
	c.fences++
	summary := fmt.Sprintf("%s, %d", fenceSummary, c.fences)
	fence := func(ends time.Time) {
		body, err := json.Marshal([]map[string]any{{
			"labels":      map[string]string{"alertname": "Fence", "severity": "warning", "site": summary},
			"annotations": map[string]string{"summary": summary},
			"endsAt":      ends,
		}})
		if err != nil {
			t.Fatal(err)
		}
		c.call(t.Context(), t, http.MethodPost, "/api/v2/alerts", body)
	}
	fence(time.Now().Add(time.Hour))
	c.await(t, "Moodle Alert: "+summary)
	fence(time.Now())
	c.await(t, "RESOLVED Moodle Alert: "+summary)
}

// call asks Alertmanager's API and returns its answer.
func (c *chain) call(ctx context.Context, t *testing.T, method, path string, body []byte) []byte {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, method, c.alertmanager.URL+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatalf("ask Alertmanager: %v", err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || !slices.Contains([]int{http.StatusOK, http.StatusAccepted}, response.StatusCode) {
		t.Fatalf("%s %s: %s %v: %s", method, path, response.Status, err, answer)
	}
	return answer
}
