package statuspage

import (
	"fmt"
	"slices"
	"strings"
)

// check judges one subject. It is asked only if its collector is switched on.
type check struct {
	subject   string // what is missing if judge finds nothing; empty if that is no loss
	collector string // empty for what every exporter shows
	judge     func(*view) []Line
}

// part is a section and its checks.
type part struct {
	name   string
	checks []check
}

// plan is every check there is. A new one is a function and a line here.
func plan() []part {
	return []part{
		{"Sites", []check{
			{"", "site", anySite},
			{"", "site", eachSite(release)},
			{"", "site", eachSite(open)},
			{"", "site", eachSite(cron)},
			{"", "site", eachSite(tasks)},
			{"", "site", eachSite(upgrade)},
			{"", "activity", eachSite(support)},
			{"", "activity", eachSite(plugins)},
			{"", "activity", eachSite(updates)},
			{"", "activity", eachSite(users)},
			{"", "activity", eachSite(courses)},
			{"", "activity", eachSite(quizzes)},
		}},
		{"Web", []check{
			{"", "web", eachSite(loginPage)},
			{"", "web", eachSite(phases)},
			{"PHP-FPM", "phpfpm", pools},
			{"nginx", "nginx", nginx},
		}},
		{"Services", []check{
			{"services", "service", services},
		}},
		{"Database", []check{
			{"server", "database", servers},
			{"", "database", connections},
			{"", "database", replication},
			{"", "database", eachSite(schemaSize)},
		}},
		{"Redis", []check{
			{"servers", "redis", redis},
		}},
		{"Host", []check{
			{"CPU", "cpu", cpu},
			{"memory", "memory", memory},
			{"filesystems", "filesystem", filesystems},
			{"", "", secrets},
		}},
		{"Certificates", []check{
			{"", "certificate", certificateExpiry},
			{"", "certificate", certificateServed},
			{"", "certificate", anyCertificate},
		}},
		{"Backups", []check{
			{"", "backup", eachSite(backupSwitch)},
			{"", "backup", eachBackup(backupAges)},
			{"", "job", eachBackup(backupRun)},
			{"", "backup", eachBackup(backupPlace)},
			{"", "backup", eachBackup(backupIntact)},
			{"", "backup", eachBackup(backupMissing)},
			{"", "backup", eachBackup(offsite)},
			{"", "backup", eachBackup(drill)},
		}},
		{"Jobs", []check{
			{"jobs", "job", jobs},
			{"", "", restores},
			{"", "job", pastErrors},
		}},
		{"Exporter", []check{
			{"collectors", "", collectors},
			{"", "", facts},
			{"", "", configuration},
			{"", "", problems},
			{"version", "", version},
		}},
	}
}

func (p part) judge(v *view) Section {
	section := Section{Name: p.name}
	var off []string
	for _, c := range p.checks {
		if !v.watched(c.collector) {
			off = append(off, c.collector)
			continue
		}
		lines := c.judge(v)
		if len(lines) == 0 && c.subject != "" {
			lines = []Line{missing(c.subject, "")}
		}
		section.Lines = append(section.Lines, lines...)
	}
	for _, collector := range slices.Compact(off) {
		section.Lines = append(section.Lines, Line{Level: Info, Subject: "collector " + collector, Value: "switched off, not watched"})
	}
	if len(section.Lines) == 0 {
		section.Lines = []Line{{Level: Info, Subject: strings.ToLower(p.name), Value: "nothing to watch"}}
	}
	slices.SortStableFunc(section.Lines, func(a, b Line) int { return strings.Compare(a.Site, b.Site) })
	for i := range section.Lines {
		line := &section.Lines[i]
		line.Site, line.Subject, line.Value, line.Advice = clean(line.Site), clean(line.Subject), clean(line.Value), clean(line.Advice)
	}
	section.Level = worst(section.Lines)
	return section
}

// watched says whether a collector is switched on. Without any word of the collectors it is taken to be:
// then its metrics are missing, not unwanted.
func (v *view) watched(collector string) bool {
	_, on := v.get("scrape_collector_success", "collector", collector)
	return on || collector == "" || len(v.samples["scrape_collector_success"]) == 0
}

// eachSite asks a check for every site.
func eachSite(judge func(v *view, site string) []Line) func(*view) []Line {
	return func(v *view) []Line {
		var lines []Line
		for _, site := range v.sites {
			for _, line := range judge(v, site) {
				line.Site = site
				lines = append(lines, line)
			}
		}
		return lines
	}
}

// missing is the verdict on something that should be known and is not. metric may be empty.
func missing(subject, metric string) Line {
	what := "Its metrics are missing"
	if metric != "" {
		what = fmt.Sprintf("The metric moodle_%s is missing", metric)
	}
	return Line{
		Level: Unknown, Subject: subject, Value: "not known",
		Advice: what + ", so nobody knows whether this is all right. See under Exporter what could not be read.",
	}
}

// noThreshold is the verdict where the limit to compare with is missing.
func noThreshold(subject, value, name string) Line {
	line := missing(subject, fmt.Sprintf("threshold{name=%q}", name))
	line.Value = value
	return line
}
