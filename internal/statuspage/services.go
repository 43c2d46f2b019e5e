package statuspage

import "fmt"

// services agrees with MoodleServiceDown.
func services(v *view) []Line {
	var lines []Line
	for _, up := range v.all("service_up") {
		unit := up.labels["unit"]
		state := "state unknown"
		for _, s := range v.all("service_state", "unit", unit) {
			if s.value == 1 {
				state = s.labels["state"]
			}
		}
		if up.value == 0 {
			lines = append(lines, Line{
				Level: Critical, Subject: unit, Value: state, Runbook: "MoodleServiceDown",
				Advice: fmt.Sprintf("What it provides to Moodle is out of order until it runs again. See why it stopped with `journalctl -u %s -n 100`, then start it.", shellWord(unit)),
			})
			continue
		}
		value := "running"
		if start, found := v.get("service_start_time_seconds", "unit", unit); found {
			age, _ := v.age(start)
			value = fmt.Sprintf("running for %s", span(age))
		}
		lines = append(lines, Line{Level: OK, Subject: unit, Value: value})
	}
	if len(lines) == 0 && v.is(1, "scrape_collector_success", "collector", "service") {
		return []Line{{Level: Info, Subject: "services", Value: "none watched: no unit was found, and services: in the configuration names none"}}
	}
	return lines
}
