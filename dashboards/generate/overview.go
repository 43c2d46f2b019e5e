package main

// noData is what an empty panel means everywhere.
const noData = "A panel without data is not one where all is well. It means that nothing of the kind is on the chosen hosts (no Redis, no replica), " +
	"that it has not happened yet (no backup, no drill: the alerts speak up), or that the exporter cannot see it: then the panel *Collectors* on the dashboard *Host and services* shows 0, " +
	"and `moodle-exporter status` on the host says why. Every panel's description says what its own absence means."

func overview() board {
	alerts := `ALERTS{HOST, alertstate="firing", alertname=~"Moodle.*", severity`
	return board{
		name: "overview", title: "Overview", from: "now-24h",
		description: "Is everything all right? Alerts, and for each site whether users get in, cron runs and backups are fresh.",
		rows: []row{
			{"Now", []*panel{
				stat("Critical alerts", "none", "Alerts that need a human now. No data: Prometheus has no rules of moodle-exporter.", ask{`count(` + alerts + `="critical"}) or vector(0)`, ""}).bad(1, true),
				stat("Warnings", "none", "Alerts for this week. No data: Prometheus has no rules of moodle-exporter.", ask{`count(` + alerts + `="warning"}) or vector(0)`, ""}).bad(1, true),
				stat("Hosts", "none", "Exporters that Prometheus reaches. No data: none.", ask{`count(moodle_exporter_build_info{HOST})`, ""}).bad(1, false),
				stat("Sites", "none", "Moodle sites that are watched. No data: none was found.", ask{`count(moodle_site_info{HOST})`, ""}).bad(1, false),
				stat("Users online", "none", "Users seen in the last five minutes, in all sites. No data: the database does not let the exporter in.", ask{`sum(moodle_users_active{HOST, window="5m"})`, ""}),
				stat("Lost alert mails", "none", "Notifications that Alertmanager could not deliver within an hour. No data: Prometheus does not scrape Alertmanager.", ask{`sum(increase(alertmanager_notifications_failed_total[1h]))`, ""}).bad(1, true),
				alertTable(alerts + `!="none"}`),
			}},
			{"Sites", []*panel{
				states("Users get in", "Whether the login page came, once a minute. No data: the site was never visited; see Collectors.", ask{`moodle_web_probe_success{HOST}`, "{{site}} on {{instance}}"}).bad(1, false).runbook("MoodleWebProbeFailing").sized(12, 8),
				series("Login page", "s", "How long the login page took, and the limit from the configuration. No data: the site was never visited.",
					ask{`moodle_web_probe_duration_seconds{HOST}`, "{{site}} on {{instance}}"}, limit("web_slow_seconds")).runbook("MoodleWebSlow").sized(12, 8),
				series("Cron started ago", "s", "Time since cron last started. No data: it never ran, or the database does not let the exporter in.",
					ask{`time() - moodle_cron_last_start_timestamp_seconds{HOST}`, "{{site}} on {{instance}}"}, limit("cron_max_age_seconds")).runbook("MoodleCronNotRunning"),
				bars("Age of the last complete backup", "s", "No data: there has never been one, which MoodleBackupNeverSucceeded tells.", ask{`moodle_backup_age_seconds{HOST, component="all"}`, "{{site}} on {{instance}}"}).bad(691200, true).runbook("MoodleBackupTooOld"),
				states("Closed for maintenance", "Maintenance mode, by command line or by an administrator. No data: neither file nor database can be read.", ask{`max by (job, instance, site) (moodle_maintenance_mode{HOST})`, "{{site}} on {{instance}}"}).bad(1, true).runbook("MoodleLeftInMaintenance"),
				table("Installed", "none", "No data: no site was found.", "", ask{`moodle_site_info{HOST}`, ""}).sized(24, 6),
			}},
			{"Hosts", []*panel{
				bars("CPU busy", "percentunit", "Part of the CPU time of five minutes that was work. No data: the rules of moodle-exporter are not loaded.", ask{`instance:moodle_host_cpu_busy:ratio_rate5m{HOST}`, "{{instance}}"}).between(0, 1).bad(0.9, true).runbook("MoodleHostCPUBusy"),
				bars("Memory available", "percentunit", "No data: the collector memory is off.", ask{`moodle_host_memory_available_bytes{HOST} / moodle_host_memory_total_bytes{HOST}`, "{{instance}}"}).between(0, 1).bad(0.1, false).runbook("MoodleHostMemoryLow"),
				bars("Disk free", "percentunit", "No data: the disk does not answer, or the collector filesystem is off.", ask{`moodle_host_filesystem_avail_bytes{HOST} / moodle_host_filesystem_size_bytes{HOST}`, "{{mountpoint}} on {{instance}}"}).between(0, 1).bad(0.15, false).runbook("MoodleDiskSpaceLow"),
				bars("Certificates, days left", "d", "Whole days. No data: no certificate was found, and no site is served over HTTPS.", ask{`moodle_certificate_days_left{HOST}`, "{{target}} ({{source}}) on {{instance}}"}).bad(28, false).runbook("MoodleCertExpiringSoon"),
				bars("Services down", "none", "Units of the site that do not run. No data: the collector service is off, or there is no systemd.", ask{`count by (instance) (moodle_service_up{HOST} == 0) or 0 * count by (instance) (moodle_service_up{HOST})`, "{{instance}}"}).bad(1, true).runbook("MoodleServiceDown"),
				text("What no data means", noData).sized(8, 7),
			}},
		},
	}
}

// alertTable lists what fires, each with a link to its runbook.
func alertTable(expr string) *panel {
	p := table("Firing", "none", "What fires now. No data: nothing does, if the rules of moodle-exporter are loaded.", "", ask{expr, ""}).sized(24, 7)
	p.FieldConfig.Overrides = append(p.FieldConfig.Overrides, override{
		Matcher: matcher{"byName", "alertname"},
		Properties: []property{{"links", []link{{
			Title: "Runbook", URL: "http://${__data.fields.instance}/runbooks/${__data.fields.alertname}", TargetBlank: true,
		}}}},
	})
	return p
}
