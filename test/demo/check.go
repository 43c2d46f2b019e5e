package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// checkTimeout bounds the wait for Prometheus's first scrapes.
const checkTimeout = time.Minute

// expectedAlerts may be there on a healthy demo: the dead man's switch always is, and the disk
// is that of the machine, which may really be full.
var expectedAlerts = []string{"Watchdog", "MoodleDiskSpaceLow"}

// check asks every running part for a sign of life and returns all that is wrong.
func (d *demo) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	checks := []struct {
		name    string
		running bool
		check   func(context.Context) error
	}{
		{"login page over TLS", d.nginx != nil, d.checkLogin},
		{"exporter", d.serve != nil, d.checkMetrics},
		{"Prometheus scrapes the exporter", d.prometheus != nil, d.checkScrape},
		{"alerts", d.prometheus != nil, d.checkAlerts},
		{"Alertmanager gets alerts", d.prometheus != nil && d.alertmanager != nil, d.checkAlertmanager},
		{"status", d.serve != nil, d.checkStatus},
	}
	var problems []error
	for _, c := range checks {
		if !c.running {
			fmt.Println("left out:", c.name)
			continue
		}
		err := c.check(ctx)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", c.name, err))
			continue
		}
		fmt.Println("ok:", c.name)
	}
	return errors.Join(problems...)
}

func (d *demo) checkLogin(ctx context.Context) error {
	body, err := get(ctx, d.nginx.Client(), d.nginx.URL+"/login/index.php")
	if err == nil && !strings.Contains(body, "<title>Log in to the site") {
		err = fmt.Errorf("no login page but %q", body)
	}
	return err
}

// checkMetrics waits for one metric of each part that runs: the exporter's first looks go on after it is ready.
func (d *demo) checkMetrics(ctx context.Context) error {
	wanted := []string{"moodle_exporter_build_info{"}
	if d.site != nil {
		wanted = append(wanted, `moodle_cron_last_start_timestamp_seconds{site="demo"}`,
			`moodle_backup_last_success_timestamp_seconds{component="all",site="demo"}`,
			`moodle_database_up{server="`+d.database.Socket+`"} 1`)
	}
	if d.nginx != nil {
		wanted = append(wanted, `moodle_certificate_chain_valid{target="`+d.nginx.Address+`"} 1`)
	}
	return poll(ctx, func() error {
		body, err := get(ctx, http.DefaultClient, d.serve.URL+"/metrics")
		if err != nil {
			return err
		}
		var problems []error
		for _, series := range wanted {
			if !strings.Contains(body, "\n"+series) {
				problems = append(problems, fmt.Errorf("no %s in /metrics", strings.TrimRight(series, "{")))
			}
		}
		return errors.Join(problems...)
	})
}

// checkScrape waits for the first successful scrape.
func (d *demo) checkScrape(ctx context.Context) error {
	query := d.prometheus.URL + "/api/v1/query?query=" + url.QueryEscape(`up{job="moodle"} == 1`)
	return poll(ctx, func() error {
		var answer struct {
			Data struct {
				Result []struct{ Value [2]any }
			}
		}
		if err := getJSON(ctx, query, &answer); err != nil {
			return err
		}
		if len(answer.Data.Result) != 1 {
			return errors.New("up is not 1")
		}
		return nil
	})
}

// ruleList is the part of Prometheus's answer on /api/v1/rules that is looked at.
type ruleList struct {
	Data struct {
		Groups []struct {
			Rules []struct {
				Name, Health, LastError string
				Alerts                  []struct {
					State  string
					Labels map[string]string
				}
			}
		}
	}
}

// checkAlerts wants every rule evaluated without error and nothing firing or about to fire that should not.
func (d *demo) checkAlerts(ctx context.Context) error {
	var answer ruleList
	err := poll(ctx, func() error {
		answer = ruleList{}
		if err := getJSON(ctx, d.prometheus.URL+"/api/v1/rules", &answer); err != nil {
			return err
		}
		for _, group := range answer.Data.Groups {
			for _, rule := range group.Rules {
				if rule.Health != "ok" {
					return fmt.Errorf("rule %s: %s %s", rule.Name, rule.Health, rule.LastError)
				}
			}
		}
		return nil
	})
	problems := []error{err}
	for _, group := range answer.Data.Groups {
		for _, rule := range group.Rules {
			for _, alert := range rule.Alerts {
				// Before its first scrape Prometheus knows of no exporter, and waits before it says so.
				begins := rule.Name == "MoodleExporterAbsent" && alert.State == "pending"
				if !begins && !slices.Contains(expectedAlerts, rule.Name) {
					problems = append(problems, fmt.Errorf("unexpected alert %s (%s): %v", rule.Name, alert.State, alert.Labels))
				}
			}
		}
	}
	return errors.Join(problems...)
}

// checkAlertmanager waits until the dead man's switch has come through.
func (d *demo) checkAlertmanager(ctx context.Context) error {
	return poll(ctx, func() error {
		var alerts []struct{ Labels map[string]string }
		if err := getJSON(ctx, d.alertmanager.URL+"/api/v2/alerts", &alerts); err != nil {
			return err
		}
		for _, a := range alerts {
			if a.Labels["alertname"] == "Watchdog" {
				return nil
			}
		}
		return errors.New("no Watchdog has arrived")
	})
}

// checkStatus takes warnings: the demo's backups do lie on the disk that they protect. Where parts
// are left out, what status says of them is shown and not judged.
func (d *demo) checkStatus(ctx context.Context) error {
	out, code, err := d.command(ctx, "status")
	fmt.Print(indent(out))
	if err == nil && code > 1 && d.nginx != nil {
		err = fmt.Errorf("exit code %d, want 0 (ok) or 1 (warning)", code)
	}
	return err
}

// poll repeats attempt until it succeeds or ctx ends.
func poll(ctx context.Context, attempt func() error) error {
	for {
		err := attempt()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func getJSON(ctx context.Context, address string, into any) error {
	body, err := get(ctx, http.DefaultClient, address)
	if err != nil {
		return err
	}
	return json.Unmarshal([]byte(body), into)
}

func get(ctx context.Context, client *http.Client, address string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s says %s", address, response.Status)
	}
	return string(body), err
}
