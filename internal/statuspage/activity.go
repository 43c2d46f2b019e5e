package statuspage

import (
	"fmt"
	"strings"
)

// users, courses and quizzes tell what goes on in a site. They are there to be read, and absent while nobody knows them.
func users(v *view, site string) []Line {
	online, known := v.get("users_active", "site", site, "window", "5m")
	if !known {
		return nil
	}
	value := fmt.Sprintf("%.0f online in the last 5 min", online)
	if day, counted := v.get("users_active", "site", site, "window", "24h"); counted {
		value += fmt.Sprintf(", %.0f in 24 h", day)
	}
	if accounts, counted := v.get("users", "site", site, "status", "active"); counted {
		value += fmt.Sprintf(", %s", count(accounts, "account"))
	}
	return []Line{{Level: Info, Subject: "users", Value: value}}
}

func courses(v *view, site string) []Line {
	visible, known := v.get("courses", "site", site, "visible", "true")
	if !known {
		return nil
	}
	value := fmt.Sprintf("%.0f visible", visible)
	if hidden, counted := v.get("courses", "site", site, "visible", "false"); counted {
		value += fmt.Sprintf(", %.0f hidden", hidden)
	}
	return []Line{{Level: Info, Subject: "courses", Value: value}}
}

func quizzes(v *view, site string) []Line {
	attempts, known := v.get("quiz_attempts_in_progress", "site", site)
	if !known {
		return nil
	}
	value := "no attempt in progress"
	if attempts > 0 {
		value = count(attempts, "attempt") + " in progress: a bad moment to close the site"
	}
	return []Line{{Level: Info, Subject: "quizzes", Value: value}}
}

// updates are shown and not judged: there is nearly always one, and a page that is never green is not read.
func updates(v *view, site string) []Line {
	core, asked := v.get("core_update_available", "site", site)
	plugins, counted := v.get("plugin_updates_available", "site", site)
	var parts []string
	if core == 1 {
		parts = append(parts, "a newer release of this branch")
	}
	if plugins > 0 {
		parts = append(parts, "newer versions of "+count(plugins, "plugin"))
	}
	switch {
	case !asked && !counted:
		return nil
	case len(parts) == 0:
		return []Line{{Level: Info, Subject: "updates", Value: "none known to Moodle"}}
	}
	return []Line{{Level: Info, Subject: "updates", Value: "available: " + strings.Join(parts, ", ")}}
}
