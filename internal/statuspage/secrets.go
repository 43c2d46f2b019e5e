package statuspage

import (
	"fmt"

	"github.com/moodle-exporter/moodle-exporter/internal/probe"
)

// Exposed is a file or directory with secrets that others than they are meant for may read. Site is empty for what belongs
// to the whole host.
type Exposed struct {
	Site string
	probe.Exposed
}

// secrets says who may read what should be closed. It is critical only where every account of the host has all of a site,
// or the key to it: an open config.php is how many sites were installed.
func secrets(v *view) []Line {
	const subject, metric = "who may read secrets", "secrets_exposed"
	var lines []Line
	told := map[string]bool{}
	for _, e := range v.extras.Exposed {
		told[e.Site] = true
		line := Line{
			Level: Warning, Site: e.Site, Subject: subject, Value: fmt.Sprintf("%s: %s", e.Path, e.Who),
			Advice: fmt.Sprintf("It holds %s. Close it as root: `%s`.", e.Holds, e.Do),
		}
		if e.Grave {
			line.Level = Critical
		}
		lines = append(lines, line)
	}
	closed := 0
	for _, look := range v.all("probe_facts_timestamp_seconds") {
		site := look.labels["site"]
		exposed, known := v.get(metric, "site", site)
		age, _ := v.age(look.value)
		switch {
		case told[site]:
		case known && exposed == 0:
			closed++
		case known:
			lines = append(lines, Line{
				Level: Warning, Site: site, Subject: subject, Value: fmt.Sprintf("too many, of %.0f files", exposed),
				Advice: "`moodle-exporter status`, as root, names them and the commands that close them.",
			})
		case age < probe.Stale.Seconds(): // older ones are told of as such
			line := missing(subject, metric)
			line.Site = site
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 && closed > 0 {
		return []Line{{Level: OK, Subject: subject, Value: "only those they are meant for"}}
	}
	return lines
}
