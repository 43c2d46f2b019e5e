package statuspage

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/probe"
)

// collectors names those that fail; the metrics that they should have are the unknown lines elsewhere.
func collectors(v *view) []Line {
	var lines []Line
	all := v.all("scrape_collector_success")
	for _, collector := range all {
		if collector.value == 1 {
			continue
		}
		name := collector.labels["collector"]
		why := v.extras.Collectors[name]
		if why == "" {
			why = "see the exporter's log: `journalctl -u moodle-exporter -n 50`"
		}
		lines = append(lines, Line{
			Level: Warning, Subject: "collector " + name, Value: "failing", Runbook: "MoodleCollectorFailing",
			Advice: "What it should watch is not watched, or not wholly. The error: " + why,
		})
	}
	if len(lines) == 0 && len(all) > 0 {
		return []Line{{Level: OK, Subject: "collectors", Value: fmt.Sprintf("all %d work", len(all))}}
	}
	return lines
}

// facts says whether what only root can see is seen: the privileged look at each site and at the host.
func facts(v *view) []Line {
	const advice = "Configuration, certificate files and backups are looked at by `moodle-exporter probe` as root. Start its timer with `systemctl enable --now moodle-exporter-probe.timer`; `journalctl -u moodle-exporter-probe` says why it fails."
	names := append(v.values("site", "probe_facts_timestamp_seconds"), v.sites...)
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) == 0 {
		return []Line{{Level: Unknown, Subject: "look at the host", Value: "never taken", Advice: advice}}
	}
	var lines []Line
	for _, name := range names {
		subject := "look at " + name
		if name == "" || name == config.HostName {
			subject = "look at the host"
		}
		taken, known := v.get("probe_facts_timestamp_seconds", "site", name)
		age, sensible := v.age(taken)
		switch {
		case !known:
			lines = append(lines, Line{Level: Unknown, Subject: subject, Value: "never taken", Advice: advice})
		case !sensible:
			lines = append(lines, futureTime(subject))
		case age >= probe.Stale.Seconds():
			lines = append(lines, Line{Level: Warning, Subject: subject, Value: span(age) + " ago, too old", Advice: advice})
		default:
			lines = append(lines, Line{Level: OK, Subject: subject, Value: span(age) + " ago"})
		}
	}
	return lines
}

// configuration says whether the file that lies there is the one in force.
func configuration(v *view) []Line {
	if !v.is(0, "exporter_config_last_reload_successful") {
		return nil
	}
	return []Line{{
		Level: Warning, Subject: "configuration", Value: "the last reload failed", Runbook: "MoodleConfigReloadFailed",
		Advice: "The old configuration is still in force. `moodle-exporter config check` names the line to correct; then `systemctl reload moodle-exporter`.",
	}}
}

// problems are what a person was to be told about reading this host.
func problems(v *view) []Line {
	var lines []Line
	for _, text := range v.extras.Problems {
		for line := range strings.Lines(text) { // joined errors are a line each
			lines = append(lines, Line{Level: Warning, Subject: "problem", Value: line})
		}
	}
	return lines
}

func version(v *view) []Line {
	text := v.extras.Version
	if info := v.all("exporter_build_info"); text == "" && len(info) > 0 {
		text = info[0].labels["version"]
	}
	if text == "" {
		text = "not known"
	}
	return []Line{{Level: Info, Subject: "version", Value: text}}
}
