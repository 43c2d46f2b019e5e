// Package alerts holds the alerting rules, their tests, the Alertmanager configuration and the
// runbooks that come with the exporter, embedded in the binary.
//
// rules/ has one file per part of the system, tests/ one file of promtool tests for each of them,
// runbooks/ one page per alert. They need Prometheus 2.42 (keep_firing_for) and Alertmanager 0.25,
// the versions of Debian 12, or newer.
//
// # What the exporter has to serve
//
// The rules use the metric names of the exporter's contract; a test holds the list. Three things
// are relied on beyond the names:
//
//   - moodle_threshold{name} is always there, whether configured or by default. The rules use
//     disk_free_ratio_warning (ratio 0-1), cert_warning_days (days) and cron_max_age_seconds
//     (seconds; at least 120, as Moodle's cron starts once a minute). An alert whose threshold is
//     missing never fires.
//   - moodle_backup_max_age_seconds and moodle_backup_last_success_timestamp_seconds have the same
//     site and component labels, and moodle_backup_enabled is there for every site.
//   - /runbooks/NAME answers with the page of the alert NAME: every alert links to it.
//
// # Rules for rules
//
// A failed scrape ends every series of the target and resets `for`, so every expression looks
// back over a window. Joins between series of a site include the site, otherwise two sites on one
// host silence each other. An inhibiting alert fires no later and lasts no shorter than the
// inhibited one, and both carry every label named under `equal`.
package alerts
