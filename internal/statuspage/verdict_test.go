package statuspage_test

import (
	"testing"

	"github.com/moodle-exporter/moodle-exporter/internal/statuspage"
)

// find returns the worst line of the given site and subject: two checks may speak of one certificate.
func find(report statuspage.Report, site, subject string) (line statuspage.Line, section string, found bool) {
	for _, s := range report.Sections {
		for _, l := range s.Lines {
			if l.Site == site && l.Subject == subject && (!found || l.Level.Bad()) {
				line, section, found = l, s.Name, true
			}
		}
	}
	return line, section, found
}

func TestChecks(t *testing.T) {
	for _, c := range checkCases() {
		t.Run(c.section+"/"+c.name, func(t *testing.T) {
			report := statuspage.Evaluate(parse(t, c.metrics, now), statuspage.Extras{}, now)
			for i, want := range c.want {
				line, section, found := find(report, want.site, want.subject)
				if !found {
					t.Errorf("no line %q of site %q in %+v", want.subject, want.site, report.Sections)
					continue
				}
				if i == 0 && section != c.section {
					t.Errorf("%q is in section %s", want.subject, section)
				}
				if line.Level != want.level || line.Runbook != want.runbook {
					t.Errorf("%q of site %q is %s with runbook %q, want %s with %q (%s)",
						want.subject, want.site, line.Level, line.Runbook, want.level, want.runbook, line.Value)
				}
				if line.Level.Bad() != (line.Advice != "") {
					t.Errorf("%s line %q has the advice %q", line.Level, want.subject, line.Advice)
				}
			}
		})
	}
}

// A series that goes missing must never make anything better: what was not ok may become unknown, not ok.
func TestNothingGetsBetterByMissing(t *testing.T) {
	for _, name := range []string{"healthy", "broken"} {
		whole := load(t, name, statuspage.Extras{})
		families := families(t, name)
		for i, family := range families {
			rest := append(append(families[:0:0], families[:i]...), families[i+1:]...)
			report := statuspage.Evaluate(rest, statuspage.Extras{}, now)
			if whole.Level.Bad() && !report.Level.Bad() {
				t.Errorf("%s without %s is %s", name, family.GetName(), report.Level)
			}
			if !optional[family.GetName()] && name == "healthy" && report.Level != statuspage.Unknown && report.Level != statuspage.Critical {
				t.Errorf("a healthy host without %s is %s: %s", family.GetName(), report.Level, report.Summary)
			}
		}
	}
}

// optional are the metrics that a healthy host may do without: they are absent where they say nothing, or only
// explain what another one says.
var optional = map[string]bool{
	"moodle_exporter_build_info": true, "moodle_upgrade_running": true, "moodle_database_server_info": true,
	"moodle_task_adhoc_queued": true, "moodle_task_adhoc_oldest_age_seconds": true, "moodle_database_schema_bytes": true,
	"moodle_database_info": true, "moodle_database_start_time_seconds": true, "moodle_cron_enabled": true,
	"moodle_service_up":    true, // a collector that works and finds no unit has none to watch
	"moodle_service_state": true, "moodle_service_start_time_seconds": true,
	"moodle_host_filesystem_files": true, "moodle_host_filesystem_files_free": true, "moodle_host_filesystem_role_info": true,
	"moodle_certificate_probe_success": true, "moodle_certificate_chain_valid": true, "moodle_certificate_hostname_match": true,
	"moodle_backup_last_size_bytes": true, "moodle_backup_verify_max_age_seconds": true, "moodle_backup_last_verify_result": true,
	"moodle_backup_last_verify_success_timestamp_seconds": true, "moodle_backup_damaged_files": true,
	"moodle_backup_missing_files": true, "moodle_backup_missing_files_accepted": true,
	"moodle_job_last_end_timestamp_seconds": true, "moodle_job_last_duration_seconds": true, "moodle_job_running": true,
	"moodle_site_release_support_end_timestamp_seconds": true, "moodle_plugins_missing": true,
	"moodle_core_update_available": true, "moodle_plugin_updates_available": true,
	"moodle_users": true, "moodle_users_active": true, "moodle_courses": true, "moodle_quiz_attempts_in_progress": true,
	"moodle_web_probe_status_code": true, "moodle_web_probe_timestamp_seconds": true, "moodle_web_probe_phase_duration_seconds": true,
	"moodle_phpfpm_up": true, "moodle_nginx_up": true, "moodle_redis_up": true, // as with services
	"moodle_phpfpm_max_children": true, "moodle_phpfpm_listen_queue": true, // one of the two will do
	"moodle_phpfpm_start_time_seconds": true, "moodle_redis_start_time_seconds": true, "moodle_redis_memory_max_bytes": true,
	"moodle_redis_evicted_keys_total": true, "moodle_redis_rejected_connections_total": true,
	"moodle_backup_offsite_enabled": true, "moodle_backup_offsite_last_success_timestamp_seconds": true, "moodle_backup_offsite_pending_bytes": true,
	"moodle_restore_drill_last_result": true, "moodle_restore_drill_last_success_timestamp_seconds": true,
	"moodle_restore_drill_last_duration_seconds": true, "moodle_restore_drill_max_age_seconds": true,
}

func TestOverallLevel(t *testing.T) {
	cases := []struct {
		name, metrics string
		level         statuspage.Level
		exit          int
	}{
		{"nothing", ``, unknown, 3},
		{"critical before unknown", `moodle_service_up{unit="a"} 0`, critical, 2},
	}
	for _, c := range cases {
		report := statuspage.Evaluate(parse(t, c.metrics, now), statuspage.Extras{}, now)
		if report.Level != c.level || report.Level.ExitCode() != c.exit {
			t.Errorf("%s: %s, exit code %d; want %s, %d", c.name, report.Level, report.Level.ExitCode(), c.level, c.exit)
		}
	}
	healthy := families(t, "healthy")
	for extra, want := range map[string]statuspage.Level{
		``:                      ok,
		"moodle_host_load1 900": ok,
		`moodle_exporter_config_last_reload_successful 0`: warning,
	} {
		report := statuspage.Evaluate(append(parse(t, extra, now), healthy...), statuspage.Extras{}, now)
		if report.Level != want || report.Level.ExitCode() != int(want) {
			t.Errorf("healthy with %q is %s: %s", extra, report.Level, report.Summary)
		}
	}
	unknownAndWarning := statuspage.Evaluate(healthy[:0:0], statuspage.Extras{Problems: []string{"p"}}, now)
	if unknownAndWarning.Level != unknown {
		t.Errorf("unknown and warning together are %s", unknownAndWarning.Level)
	}
	if warned := statuspage.Evaluate(healthy, statuspage.Extras{Problems: []string{"p"}}, now); warned.Level != warning || warned.Level.ExitCode() != 1 {
		t.Errorf("healthy with a problem is %s", warned.Level)
	}
}
