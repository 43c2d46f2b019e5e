package statuspage

import (
	"fmt"
	"strings"
)

// loginPage judges the visit that is made every minute as a user would. It goes by the conditions of an outage and of a
// slow page in one look: what an alert waits for, the page shows at once.
func loginPage(v *view, site string) []Line {
	const subject = "login page"
	success, visited := v.get("web_probe_success", "site", site)
	if !visited {
		return []Line{missing(subject, "web_probe_success")}
	}
	took, timed := v.get("web_probe_duration_seconds", "site", site)
	value := v.visit(site)
	limit, set := v.threshold("web_slow_seconds")
	until, planned := v.planned(site)
	switch {
	case success == 0 && planned:
		return []Line{{
			Level: Warning, Subject: subject, Value: value + ", closed by a job", Runbook: "MoodleMaintenanceActive",
			Advice: fmt.Sprintf("Users see the maintenance page, planned for another %s. Nothing to do unless it takes longer.", span(until-v.now)),
		}}
	case success == 0:
		return []Line{{
			Level: Critical, Subject: subject, Value: value, Runbook: "MoodleWebProbeFailing",
			Advice: "A user does not get in. A service or the database that is down, a certificate that browsers refuse and maintenance mode are lines of their own here; " +
				"else open the address in a browser, then look at the web server's error log and, with `journalctl -u moodle-exporter -n 50`, at what the exporter met.",
		}}
	case !timed:
		return []Line{missing(subject, "web_probe_duration_seconds")}
	case !set:
		return []Line{noThreshold(subject, value, "web_slow_seconds")}
	case took > limit:
		return []Line{{
			Level: Warning, Subject: subject, Value: fmt.Sprintf("%s, more than %s", value, brief(limit)), Runbook: "MoodleWebSlow",
			Advice: "Users wait. Which phase takes the time stands beside it: a long processing points at PHP-FPM without free children, at the database or at a slow disk.",
		}}
	}
	return []Line{{Level: OK, Subject: subject, Value: value}}
}

// visit says what the last visit met with.
func (v *view) visit(site string) string {
	text := "no answer"
	if status, answered := v.get("web_probe_status_code", "site", site); answered {
		text = fmt.Sprintf("HTTP %.0f", status)
	}
	if took, timed := v.get("web_probe_duration_seconds", "site", site); timed {
		text += " in " + brief(took)
	}
	if at, known := v.get("web_probe_timestamp_seconds", "site", site); known {
		age, _ := v.age(at)
		text += fmt.Sprintf(", %s ago", span(age))
	}
	return text
}

// phases shows where the time of the last visit went. A phase that did not come about, such as TLS, is left out.
func phases(v *view, site string) []Line {
	var parts []string
	for _, phase := range []string{"resolve", "connect", "tls", "processing", "transfer"} {
		if took, known := v.get("web_probe_phase_duration_seconds", "site", site, "phase", phase); known {
			parts = append(parts, phase+" "+brief(took))
		}
	}
	if len(parts) == 0 {
		return nil
	}
	return []Line{{Level: Info, Subject: "phases", Value: strings.Join(parts, ", ")}}
}
