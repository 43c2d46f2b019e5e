package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

func (d *demo) startMailbox(ctx context.Context) (err error) {
	d.mailbox, err = stand.StartSMTPSink(ctx, func(m stand.Message) {
		fmt.Printf("MAIL to %s: %s\n", strings.Join(m.To, ", "), m.Subject)
	})
	if err != nil {
		return err
	}
	d.atEnd(d.mailbox.Close)
	return nil
}

// exportAlerts is what an admin types; it may run twice.
func (d *demo) exportAlerts(ctx context.Context) (string, error) {
	dir := filepath.Join(d.dir, "alerts")
	_, err := d.mustCommand(ctx, "alerts", "export", dir)
	return dir, err
}

// startAlertmanager uses the shipped configuration with the one edit that it asks for: the mail server.
func (d *demo) startAlertmanager(ctx context.Context) error {
	dir, err := d.exportAlerts(ctx)
	if err != nil {
		return err
	}
	config, err := os.ReadFile(filepath.Join(dir, "alertmanager.yml"))
	if err != nil {
		return fmt.Errorf("read the exported configuration: %w", err)
	}
	edited := strings.NewReplacer("localhost:25", d.mailbox.Address,
		"'moodle-mail.tmpl'", "'"+filepath.Join(dir, "moodle-mail.tmpl")+"'").Replace(string(config))
	if d.alertmanager, err = stand.StartAlertmanager(ctx, d.dir, edited); err != nil {
		return err
	}
	d.atEnd(d.alertmanager.Close)
	return nil
}

func (d *demo) startPrometheus(ctx context.Context) error {
	dir, err := d.exportAlerts(ctx)
	if err != nil {
		return err
	}
	alerting := ""
	if d.alertmanager != nil {
		alerting = fmt.Sprintf("alerting: {alertmanagers: [{static_configs: [{targets: ['%s']}]}]}\n", hostPort(d.alertmanager))
	}
	config := fmt.Sprintf(`global: {scrape_interval: 5s, evaluation_interval: 5s}
rule_files: ['%s/rules/*.yml']
%sscrape_configs:
  - job_name: moodle
    static_configs: [{targets: ['%s']}]
`, dir, alerting, hostPort(d.serve))
	if d.prometheus, err = stand.StartPrometheus(ctx, d.dir, config); err != nil {
		return err
	}
	d.atEnd(d.prometheus.Close)
	return nil
}

func hostPort(w *stand.WebServer) string { return strings.TrimPrefix(w.URL, "http://") }
