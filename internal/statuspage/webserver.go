package statuspage

import (
	"fmt"
	"strings"
)

// because is why a collector fails, as a sentence with a space before it, or nothing.
func (v *view) because(collector string) string {
	if text := v.extras.Collectors[collector]; text != "" {
		return " The error: " + text
	}
	return ""
}

// pools judges the pools of PHP-FPM. One whose status cannot be read is a warning: mostly nobody has set pm.status_listen
// yet, and PHP-FPM itself, if it is down, is critical among the services and on the login page.
func pools(v *view) []Line {
	var lines []Line
	for _, up := range v.all("phpfpm_up") {
		server, name := up.labels["server"], up.labels["pool"]
		line := pool(v, up.value, "server", server, "pool", name)
		line.Subject = strings.TrimSpace(fmt.Sprintf("PHP-FPM %s %s", server, name))
		lines = append(lines, line)
	}
	if len(lines) == 0 && v.is(1, "scrape_collector_success", "collector", "phpfpm") {
		return []Line{{Level: Info, Subject: "PHP-FPM", Value: "no pool found"}}
	}
	return lines
}

// saturated is the part of pm.max_children at work from which a pool is as good as full.
const saturated = 0.95

func pool(v *view, up float64, labels ...string) Line {
	if up == 0 {
		return Line{
			Level: Warning, Value: "its status cannot be read",
			Advice: "How many requests wait is not watched; the site itself need not suffer. `moodle-exporter config check` prints the lines that the pool still lacks, ready to paste." + v.because("phpfpm"),
		}
	}
	active, known := v.get("phpfpm_processes", append(labels, "state", "active")...)
	most, bounded := v.get("phpfpm_max_children", labels...)
	waiting, queued := v.get("phpfpm_listen_queue", labels...)
	if !known {
		return missing("", "phpfpm_processes")
	}
	full := !bounded || active/most >= saturated
	value := poolValue(v, active, labels)
	const fewChildren = "Look for slow pages first (slow log, database, disk); more `pm.max_children` help only while memory lasts, as each child takes its share."
	switch {
	case queued && waiting > 0 && full:
		return Line{Level: Critical, Value: value, Runbook: "MoodleFPMQueueing", Advice: "Users wait for a free child. " + fewChildren}
	case queued && waiting > 0:
		return Line{Level: Warning, Value: value, Runbook: "MoodleFPMQueueing", Advice: "Requests wait although the pool may have more children: for a moment that is nothing, for longer see PHP-FPM's log."}
	case !bounded && !queued:
		// A pool on another host, or in a container: its file is not here to be read, and never will be.
		return Line{Level: Info, Value: value + "; how many it may have is not known"}
	case bounded && full:
		return Line{Level: Warning, Value: value, Runbook: "MoodleFPMSaturated", Advice: "The next users will have to wait. " + fewChildren}
	}
	return Line{Level: OK, Value: value}
}

func poolValue(v *view, active float64, labels []string) string {
	value := fmt.Sprintf("%.0f active", active)
	if idle, known := v.get("phpfpm_processes", append(labels, "state", "idle")...); known {
		value += fmt.Sprintf(", %.0f idle", idle)
	}
	if most, known := v.get("phpfpm_max_children", labels...); known {
		value += fmt.Sprintf(", at most %.0f", most)
	}
	if waiting, known := v.get("phpfpm_listen_queue", labels...); known {
		value += fmt.Sprintf(", %.0f waiting", waiting)
	}
	if start, known := v.get("phpfpm_start_time_seconds", labels...); known {
		age, _ := v.age(start)
		value += ", for " + span(age)
	}
	return value
}

// nginx is a warning where its status cannot be read: mostly it has no stub_status yet, and nginx itself, if it is down,
// is critical among the services and on the login page.
func nginx(v *view) []Line {
	var lines []Line
	for _, up := range v.all("nginx_up") {
		server := up.labels["server"]
		line := Line{Level: OK, Subject: "nginx " + server}
		states := []string{}
		total := 0.0
		for _, state := range []string{"reading", "writing", "waiting"} {
			if number, known := v.get("nginx_connections", "server", server, "state", state); known {
				states = append(states, fmt.Sprintf("%.0f %s", number, state))
				total += number
			}
		}
		switch {
		case up.value == 0:
			line.Level, line.Value = Warning, "its status cannot be read"
			line.Advice = "Its connections and requests are not watched; the site itself need not suffer. `moodle-exporter config check` prints the few lines of stub_status, ready to paste." + v.because("nginx")
		case len(states) == 0:
			line = missing(line.Subject, "nginx_connections")
		default:
			line.Value = fmt.Sprintf("%s: %s", count(total, "connection"), strings.Join(states, ", "))
		}
		lines = append(lines, line)
	}
	if len(lines) == 0 && v.is(1, "scrape_collector_success", "collector", "nginx") {
		return []Line{{Level: Info, Subject: "nginx", Value: "does not run here"}}
	}
	return lines
}
