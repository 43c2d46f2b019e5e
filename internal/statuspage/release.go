package statuspage

import (
	"fmt"
	"time"
)

// release shows what is installed; until when it is supported is judged beside it.
func release(v *view, site string) []Line {
	info := v.all("site_info", "site", site)
	if len(info) == 0 {
		return []Line{missing("release", "site_info")}
	}
	labels := info[0].labels
	return []Line{{Level: Info, Subject: "release", Value: fmt.Sprintf("Moodle %s, %s", labels["release"], labels["wwwroot"])}}
}

// supportNotice is how long before its last security fix a branch is a matter of this term: a new branch is planned,
// tried and announced in months, not days.
const supportNotice = 90 * 86400

// support judges whether the branch still gets security fixes. Of a branch that is not known here nothing can be said.
func support(v *view, site string) []Line {
	const subject = "support"
	end, known := v.get("site_release_support_end_timestamp_seconds", "site", site)
	if !known {
		return nil
	}
	left := end - v.now
	day := time.Unix(int64(end), 0).UTC().Format("2006-01-02")
	switch {
	case left <= 0:
		return []Line{{
			Level: Critical, Subject: subject, Value: fmt.Sprintf("ended %s ago, on %s", span(left), day),
			Advice: "This branch of Moodle gets no security fixes any more: what is found in it stays open, and is public. Upgrade to a supported branch.",
		}}
	case left < supportNotice:
		return []Line{{
			Level: Warning, Subject: subject, Value: fmt.Sprintf("security fixes for another %s, until %s", span(left), day),
			Advice: "Plan the upgrade to a supported branch: PHP, database and plugins must be fit for it too.",
		}}
	}
	return []Line{{Level: OK, Subject: subject, Value: "security fixes until " + day}}
}

// plugins judges whether the code of everything installed is there. It is no outage: what does not need them works.
func plugins(v *view, site string) []Line {
	const subject = "plugins"
	lost, known := v.get("plugins_missing", "site", site)
	switch {
	case !known:
		return nil
	case lost == 0:
		return []Line{{Level: OK, Subject: subject, Value: "none without its code"}}
	}
	return []Line{{
		Level: Warning, Subject: subject, Value: fmt.Sprintf("%s installed, but the code is gone", count(lost, "plugin")),
		Advice: "Courses that use them show errors and their tasks fail; mostly an update forgot to carry them over. Site administration, Plugins, Plugins overview names them as missing from disk: put the code back, or uninstall them there.",
	}}
}
