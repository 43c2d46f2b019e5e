package alerts_test

func watchingSituations() []situation {
	return []situation{
		{
			alert: "MoodleCollectorFailing",
			conditions: []condition{
				{series: "moodle_scrape_collector_success", bad: "0", good: "1"},
			},
			others: []string{`moodle_database_up{server="db1"} 0`},
			silent: []string{"4m"}, fires: "14m",
		},
		{
			alert: "MoodleCollectorFailing", name: "although the database answers",
			conditions: []condition{
				{series: `moodle_scrape_collector_success{collector="site"}`, bad: "0", good: "1"},
				{series: "moodle_database_up", bad: "1", good: "0"},
			},
			others: []string{
				`moodle_scrape_collector_success{instance="web9:10059", collector="site"} 0`,
				`moodle_database_up{instance="web9:10059"} 1 0 1`,
			},
			shared: []string{"server"}, silent: []string{"4m"}, fires: "14m",
		},
		{
			alert: "MoodleConfigReloadFailed",
			conditions: []condition{
				{series: "moodle_exporter_config_last_reload_successful", bad: "0", good: "1"},
			},
			silent: []string{"4m"}, fires: "14m",
		},
		{
			alert: "MoodleAlertDeliveryFailing",
			conditions: []condition{
				{series: "alertmanager_notifications_failed_total", bad: "0+6", good: "0"},
				{series: "alertmanager_notifications_total", bad: "0+60", good: "0+6000"},
			},
			silent: []string{"5m"}, fires: "20m",
		},
		{
			alert: "MoodleMaintenanceActive",
			conditions: []condition{
				{series: "moodle_maintenance_planned_until_timestamp_seconds", bad: "100000", good: "0"},
			},
			fires: "5m", ending: "100000x6 0", still: "14m", over: "20m",
		},
		{
			alert: "MoodleSiteClosed", name: "by maintenance mode",
			conditions: []condition{
				{series: `moodle_maintenance_mode{kind="cli"}`, bad: "1", good: "0"},
			},
			fires: "5m", ending: "1x6 0", still: "14m", over: "20m",
		},
		{
			alert: "MoodleSiteClosed", name: "by an upgrade",
			conditions: []condition{
				{series: "moodle_upgrade_pending", bad: "1", good: "0"},
			},
			fires: "5m",
		},
		{
			alert: "MoodleSiteClosed", name: "without its database",
			conditions: []condition{
				{series: "moodle_database_server_info", bad: "1", good: ""},
				{series: "moodle_database_up", bad: "1x4 0", good: "1"},
			},
			others: []string{
				`moodle_database_server_info{site="refused", server="db9"} 1`,
				`moodle_database_up{server="db9"} 0`,
				`moodle_database_server_info{instance="web9:10059"} 1`,
				`moodle_database_up{instance="web9:10059"} 0`,
				`moodle_database_server_info{job="another"} 1`,
				`moodle_database_up{job="another"} 0`,
				`moodle_database_server_info{site="restarting", server="db8"} 1`,
				`moodle_database_up{server="db8"} 1 1 0 0 1 0 0 1 0 0 1 0`,
			},
			fires: "8m",
		},
		{
			alert: "MoodleSiteUnreachable", name: "by an expired certificate",
			conditions: []condition{
				{series: `moodle_site_info{wwwroot="https://lms.example.org/moodle"}`, bad: "1", good: ""},
				{series: `moodle_certificate_not_after_timestamp_seconds{source="endpoint"}`, bad: "0", good: "1e9"},
			},
			others: []string{
				`moodle_site_info{site="exam", wwwroot="https://exam.example.org"} 1`,
				`moodle_certificate_not_after_timestamp_seconds{target="exam.example.org:443"} 1e9`,
				`moodle_certificate_chain_valid{target="exam.example.org:443"} 1`,
				`moodle_certificate_hostname_match{target="exam.example.org:443"} 1`,
				`moodle_certificate_not_after_timestamp_seconds{target="exam.example.org:443", source="file"} 0`,
			},
			shared: []string{"site"}, fires: "5m",
		},
		{
			alert: "MoodleSiteUnreachable", name: "by an untrusted certificate",
			conditions: []condition{
				{series: `moodle_site_info{wwwroot="https://lms.example.org:8443/moodle"}`, bad: "1", good: ""},
				{series: `moodle_certificate_chain_valid{target="lms.example.org:8443"}`, bad: "0", good: "1"},
			},
			others: []string{
				`moodle_site_info{site="exam", wwwroot="https://exam.example.org"} 1`,
				`moodle_certificate_not_after_timestamp_seconds{target="exam.example.org:443"} 1e9`,
				`moodle_certificate_chain_valid{target="exam.example.org:443"} 1`,
				`moodle_certificate_hostname_match{target="exam.example.org:443"} 1`,
				`moodle_certificate_not_after_timestamp_seconds{target="exam.example.org:443", source="file"} 0`,
			},
			shared: []string{"site"}, fires: "5m",
		},
		{
			alert: "MoodleSiteUnreachable", name: "by a certificate for another name",
			conditions: []condition{
				{series: "moodle_certificate_hostname_match", bad: "0x6 1", good: "1"},
				{series: `moodle_site_info{wwwroot="https://lms.example.org/moodle"}`, bad: "1", good: ""},
			},
			others: []string{
				`moodle_site_info{site="exam", wwwroot="https://exam.example.org"} 1`,
				`moodle_certificate_not_after_timestamp_seconds{target="exam.example.org:443"} 1e9`,
				`moodle_certificate_chain_valid{target="exam.example.org:443"} 1`,
				`moodle_certificate_hostname_match{target="exam.example.org:443"} 1`,
				`moodle_certificate_not_after_timestamp_seconds{target="exam.example.org:443", source="file"} 0`,
			},
			shared: []string{"site"}, fires: "5m", still: "14m", over: "40m",
		},
		{
			alert: "MoodleSiteUnreachable", name: "by a stopped service",
			conditions: []condition{
				{series: `moodle_site_info{wwwroot="https://lms.example.org/moodle"}`, bad: "1", good: ""},
				{series: `moodle_service_up{unit="php8.2-fpm.service"}`, bad: "1x4 0", good: "1"},
			},
			others: []string{
				`moodle_service_up{instance="web9:10059", unit="cron.service"} 1x4 0`,
				`moodle_site_info{instance="web9:10059"} 1`,
				`moodle_service_up{instance="web8:10059", unit="apache2.service"} 0`,
				`moodle_site_info{instance="web8:10059"} 1`,
				`moodle_service_up{instance="web7:10059", unit="nginx.service"} 1 1 0 0 1 0 0 1 0 0 1 0`,
				`moodle_site_info{instance="web7:10059"} 1`,
			},
			shared: []string{"site"}, fires: "8m",
		},
	}
}
