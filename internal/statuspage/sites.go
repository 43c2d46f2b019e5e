package statuspage

import "fmt"

// anySite speaks up if there is nothing to watch.
func anySite(v *view) []Line {
	if len(v.sites) > 0 {
		return nil
	}
	return []Line{{
		Level: Unknown, Subject: "sites", Value: "none found",
		Advice: "No Moodle site was found on this host, so none is watched or backed up. " +
			"Name its directory under sites: in /etc/moodle-exporter/moodle-exporter.yml, then run `moodle-exporter probe` as root.",
	}}
}

// watchedDatabase says whether the site's database is of a kind that is watched. Its server is then named,
// even while it is down.
func (v *view) watchedDatabase(site string) bool {
	return len(v.all("database_server_info", "site", site)) > 0 || !v.is(1, "scrape_collector_success", "collector", "database")
}

// missingFromDatabase is missing, unless the site's database is one that cannot be watched.
func (v *view) missingFromDatabase(site, subject, metric string) []Line {
	if !v.watchedDatabase(site) {
		return []Line{{Level: Info, Subject: subject, Value: "not watched: the site's database is not MariaDB or MySQL"}}
	}
	for _, of := range v.all("database_server_info", "site", site) {
		if v.is(0, "database_up", "server", of.labels["server"]) {
			return []Line{{
				Level: Unknown, Subject: subject, Value: "not known",
				Advice: "Only the site's database knows, and it does not answer: see under Database.",
			}}
		}
	}
	return []Line{missing(subject, metric)}
}

// planned says until when a job has announced to be at work: on this site, or on the whole host.
func (v *view) planned(site string) (until float64, yes bool) {
	for _, of := range []string{site, ""} {
		announced, found := v.get("maintenance_planned_until_timestamp_seconds", "site", of)
		if found {
			until = max(until, announced)
		}
	}
	return until, until > v.now
}

// open says whether users are let in.
func open(v *view, site string) []Line {
	advice := map[string]string{
		"cli":   "Users see the maintenance page. If nobody is working on the site, open it as the web user with `php admin/cli/maintenance.php --disable`.",
		"admin": "Users see the maintenance page. If nobody is working on the site, switch it off under Site administration, Server, Maintenance mode.",
	}
	for _, kind := range []string{"cli", "admin"} {
		if !v.is(1, "maintenance_mode", "site", site, "kind", kind) {
			continue
		}
		if until, yes := v.planned(site); yes {
			return []Line{{
				Level: Warning, Subject: "open", Value: fmt.Sprintf("closed by a job, planned for another %s", span(until-v.now)),
				Advice: "Users see the maintenance page until the job is done. Nothing to do unless it takes longer than planned.",
			}}
		}
		return []Line{{Level: Critical, Subject: "open", Value: "closed for maintenance (" + kind + ")", Runbook: "MoodleLeftInMaintenance", Advice: advice[kind]}}
	}
	for _, kind := range []string{"cli", "admin"} {
		if _, known := v.get("maintenance_mode", "site", site, "kind", kind); !known {
			return v.missingFromDatabase(site, "open", fmt.Sprintf("maintenance_mode{kind=%q}", kind))
		}
	}
	return []Line{{Level: OK, Subject: "open", Value: "open to users"}}
}

// upgrade says whether code and database belong together.
func upgrade(v *view, site string) []Line {
	pending, known := v.get("upgrade_pending", "site", site)
	switch {
	case v.is(1, "upgrade_running", "site", site):
		return []Line{{Level: Warning, Subject: "upgrade", Value: "running", Advice: "Users see that the site is being upgraded. Wait for its end; if none runs, the mark lapses within minutes."}}
	case !known:
		return v.missingFromDatabase(site, "upgrade", "upgrade_pending")
	case pending == 0:
		return []Line{{Level: OK, Subject: "upgrade", Value: "none pending"}}
	}
	if until, yes := v.planned(site); yes {
		return []Line{{Level: Warning, Subject: "upgrade", Value: fmt.Sprintf("pending, a job is at it for another %s", span(until-v.now)), Advice: "Nothing to do unless the job takes longer than planned."}}
	}
	return []Line{{
		Level: Critical, Subject: "upgrade", Value: "pending", Runbook: "MoodleUpgradePending",
		Advice: "The code is newer than the database: cron is suspended and administrators are sent to the upgrade page. Make a backup, then run as the web user `php admin/cli/upgrade.php`.",
	}}
}
