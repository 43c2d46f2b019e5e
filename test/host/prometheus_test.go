package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// TestRealPrometheus: a real Prometheus scrapes two addresses over TLS with a password, one of them for two collectors
// only, in OpenMetrics as it asks for; and one target with a wrong password stays down.
func TestRealPrometheus(t *testing.T) {
	t.Parallel()
	h := theHost(t)
	stand.Need(t, stand.Prometheus)
	i := h.install(t, nil)
	certificate, key, web := filepath.Join(i.dir, "web.crt"), filepath.Join(i.dir, "web.key"), filepath.Join(i.dir, "web.yml")
	must(t, stand.WriteCertificate(certificate, key, stand.CertificateOptions{}))
	must(t, os.WriteFile(web, []byte("tls_server_config: {cert_file: web.crt, key_file: web.key}\nbasic_auth_users: {admin: '"+lookHash+"'}\n"), 0o600))
	var addresses []string
	args := []string{"serve", "--web.config.file=" + web}
	for range 2 {
		port, err := stand.FreePort()
		must(t, err)
		addresses = append(addresses, "127.0.0.1:"+strconv.Itoa(port))
		args = append(args, "--web.listen-address="+addresses[len(addresses)-1])
	}
	i.launch(t, i.command(t.Context(), t, args...))
	dir := stand.TempDir(t)
	authority := filepath.Join(dir, "authority.crt")
	pem, err := os.ReadFile(certificate)
	must(t, err)
	must(t, os.WriteFile(authority, pem, 0o644))
	scrape := func(job, password, address, more string) string {
		return fmt.Sprintf("- {job_name: %s, scheme: https, scrape_interval: 1s, scrape_timeout: 1s, tls_config: {ca_file: %s}, "+
			"basic_auth: {username: admin, password: %s}, static_configs: [{targets: ['%s']}]%s}\n", job, authority, password, address, more)
	}
	prometheus, err := stand.StartPrometheus(t.Context(), dir, "scrape_configs:\n"+
		scrape("whole", "look", addresses[0], "")+scrape("part", "look", addresses[1], ", params: {'collect[]': [cpu, database]}")+
		scrape("stranger", "wrong", addresses[0], ""))
	must(t, err)
	t.Cleanup(func() { must(t, prometheus.Close()) })
	for query, want := range map[string]string{
		`sum(up{job="whole"})`:                                         "1",
		`sum(up{job="part"})`:                                          "1",
		`count(up{job="stranger"} == 0)`:                               "1",
		`count(moodle_site_info{job="whole"})`:                         "2",
		`count(moodle_scrape_collector_success{job="part"})`:           "2",
		`sum(moodle_scrape_collector_success{job="part"})`:             "2",
		`count(moodle_host_cpu_seconds_total{job="part",mode="user"})`: "1",
	} {
		eventually(t, func() error {
			got, err := firstValue(prometheus.URL, query)
			if err == nil && got != want {
				err = errors.New(query + " is " + got + ", want " + want)
			}
			return err
		})
	}
}

// firstValue asks Prometheus.
func firstValue(address, query string) (string, error) {
	answer, err := ask(http.DefaultClient, http.MethodGet, address+"/api/v1/query?query="+url.QueryEscape(query))
	if err != nil {
		return "", err
	}
	var result struct {
		Data struct {
			Result []struct{ Value [2]any }
		}
	}
	if err := json.Unmarshal([]byte(answer.body), &result); err != nil {
		return "", err
	}
	if len(result.Data.Result) != 1 {
		return "", fmt.Errorf("%s has %d results", query, len(result.Data.Result))
	}
	return fmt.Sprint(result.Data.Result[0].Value[1]), nil
}
