package alerts_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// speedup is by how much the live test shortens every duration of the rules and of Alertmanager's
// grouping, but for thresholds and repetitions. Their order among each other stays as shipped.
const speedup = 60

// mailTimeout bounds the wait for one mail; the slowest takes about 15 s.
const mailTimeout = time.Minute

// chain is the way of an alert from the hosts to the mailbox, of real programs.
type chain struct {
	alertmanager *stand.WebServer
	mailbox      *stand.SMTPSink
}

// startChain starts Alertmanager and Prometheus with the exported files, sped up.
func startChain(t *testing.T, hosts []watchedHost) *chain {
	t.Helper()
	mailbox, err := stand.StartSMTPSink(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := stand.TempDir(t)
	exported := filepath.Join(dir, "exported")
	export(t, exported)
	alertmanager, err := stand.StartAlertmanager(t.Context(), dir, alertmanagerConfig(t, exported, mailbox.Address))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeServer(t, alertmanager) })
	prometheus, err := stand.StartPrometheus(t.Context(), dir, prometheusConfig(t, exported, alertmanager.URL, hosts))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeServer(t, prometheus) })
	return &chain{alertmanager, mailbox}
}

func closeServer(t *testing.T, s *stand.WebServer) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

var grouping = regexp.MustCompile(`(group_wait|group_interval): ([0-9]+[smhd])`)

// alertmanagerConfig is the exported configuration with the edits a user makes: the mail server.
func alertmanagerConfig(t *testing.T, exported, smarthost string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(exported, "alertmanager.yml"))
	if err != nil {
		t.Fatal(err)
	}
	config := strings.NewReplacer(
		"localhost:25", smarthost,
		"'moodle-mail.tmpl'", "'"+filepath.Join(exported, "moodle-mail.tmpl")+"'",
	).Replace(string(content))
	return grouping.ReplaceAllStringFunc(config, func(setting string) string {
		name, value, _ := strings.Cut(setting, ": ")
		return name + ": " + spedUp(t, value)
	})
}

func prometheusConfig(t *testing.T, exported, alertmanager string, hosts []watchedHost) string {
	t.Helper()
	var targets []string
	for _, h := range hosts {
		targets = append(targets, h.Address())
	}
	rules := filepath.Join(exported, "rules")
	for name, file := range ruleFiles(t) {
		content, err := yaml.Marshal(spedUpRules(t, file))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(rules, name), content, 0o644); err != nil { //nolint:gosec // read by Prometheus' account
			t.Fatal(err)
		}
	}
	return fmt.Sprintf(`
global: {scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 250ms}
rule_files: [%q]
alerting: {alertmanagers: [{static_configs: [{targets: [%q]}]}]}
scrape_configs: [{job_name: moodle, static_configs: [{targets: [%s]}]}]
`, filepath.Join(rules, "*.yml"), strings.TrimPrefix(alertmanager, "http://"), `"`+strings.Join(targets, `", "`)+`"`)
}

func spedUp(t *testing.T, text string) string {
	t.Helper()
	if text == "" {
		return ""
	}
	return fmt.Sprintf("%dms", (duration(t, text) / speedup).Milliseconds())
}

var window = regexp.MustCompile(`\[([0-9a-z]+)\]`)

func spedUpRules(t *testing.T, file ruleFile) ruleFile {
	t.Helper()
	var faster ruleFile
	for _, group := range file.Groups {
		g := ruleGroup{Name: group.Name}
		for _, r := range group.Rules {
			r.For, r.KeepFiringFor = spedUp(t, r.For), spedUp(t, r.KeepFiringFor)
			r.Expr = window.ReplaceAllStringFunc(r.Expr, func(w string) string {
				return "[" + spedUp(t, strings.Trim(w, "[]")) + "]"
			})
			g.Rules = append(g.Rules, r)
		}
		faster.Groups = append(faster.Groups, g)
	}
	return faster
}

// await returns the mail whose subject begins so, its body without soft line breaks.
func (c *chain) await(t *testing.T, subject string) stand.Message {
	t.Helper()
	mail, err := c.mailbox.WaitFor(func(m stand.Message) bool { return strings.HasPrefix(m.Subject, subject) }, mailTimeout)
	if err != nil {
		t.Fatalf("mail %q: %v", subject, err)
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
		if len(found) == 1 && found[0].Status.State == "suppressed" && len(found[0].Status.InhibitedBy) > 0 {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s of %s did not become suppressed: %+v", alert, instance, found)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

const fenceSummary = "the end of the test"

// passFence sends an alert of its own and waits until it is mailed as resolved. That takes a whole
// group_interval, in which every alert before it had its turn: what is not mailed by then stays
// unmailed.
func (c *chain) passFence(t *testing.T) {
	t.Helper()
	fence := func(ends time.Time) {
		body, err := json.Marshal([]map[string]any{{
			"labels":      map[string]string{"alertname": "Fence", "severity": "warning"},
			"annotations": map[string]string{"summary": fenceSummary},
			"endsAt":      ends,
		}})
		if err != nil {
			t.Fatal(err)
		}
		c.call(t.Context(), t, http.MethodPost, "/api/v2/alerts", body)
	}
	fence(time.Now().Add(time.Hour))
	c.await(t, "Moodle Alert: "+fenceSummary)
	fence(time.Now())
	c.await(t, "RESOLVED Moodle Alert: "+fenceSummary)
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
