package statuspage

import "fmt"

// offsite judges the copies in another place. Where none are wanted that is said, and no fault.
func offsite(v *view, site string) []Line {
	const subject = "off-site copy"
	if !v.is(1, "backup_offsite_enabled", "site", site) {
		return []Line{{Level: Info, Subject: subject, Value: "not set up"}}
	}
	advice := "If this host and its disks were lost now, what was not copied would be lost with them. Is the other place reachable, not full, and are its keys still good? `moodle-exporter jobs` shows how the last copy ended."
	last, made := v.get("backup_offsite_last_success_timestamp_seconds", "site", site)
	if !made {
		return []Line{{Level: Warning, Subject: subject, Value: "none yet", Runbook: "MoodleBackupOffsiteNeverSucceeded", Advice: advice}}
	}
	age, sensible := v.age(last)
	value := span(age) + " old"
	if pending, known := v.get("backup_offsite_pending_bytes", "site", site); known && pending > 0 {
		value += fmt.Sprintf(", %s still to copy", size(pending))
	}
	limit, limited := v.get("backup_max_age_seconds", "site", site, "component", "all")
	switch {
	case !sensible:
		return []Line{futureTime(subject)}
	case !limited:
		line := missing(subject, `backup_max_age_seconds{component="all"}`)
		line.Value = value
		return []Line{line}
	case age > limit:
		return []Line{{Level: Critical, Subject: subject, Value: fmt.Sprintf("%s, at most %s", value, span(limit)), Runbook: "MoodleBackupOffsiteStale", Advice: advice}}
	}
	return []Line{{Level: OK, Subject: subject, Value: value}}
}

// drill judges the rehearsals of a restore. Before the first one there is nothing to judge.
func drill(v *view, site string) []Line {
	const subject = "restore drill"
	last, made := v.get("restore_drill_last_success_timestamp_seconds", "site", site)
	age, sensible := v.age(last)
	value := span(age) + " ago"
	if took, known := v.get("restore_drill_last_duration_seconds", "site", site); known {
		value += ", took " + span(took)
	}
	limit, limited := v.get("restore_drill_max_age_seconds", "site", site)
	switch {
	case v.is(0, "restore_drill_last_result", "site", site):
		return []Line{{
			Level: Critical, Subject: subject, Value: "failed", Runbook: "MoodleRestoreDrillFailed",
			Advice: "The backup could not be restored when that was tried: count it as no backup. `moodle-exporter jobs` shows the run and its log.",
		}}
	case !made:
		return []Line{{Level: Info, Subject: subject, Value: "none yet"}}
	case !sensible:
		return []Line{futureTime(subject)}
	case limited && age > limit:
		return []Line{{
			Level: Warning, Subject: subject, Value: fmt.Sprintf("%s, at most %s", value, span(limit)), Runbook: "MoodleRestoreDrillTooOld",
			Advice: fmt.Sprintf("That these backups come back was last shown long ago. Run `moodle-exporter drill` for %s as root.", site),
		}}
	}
	return []Line{{Level: OK, Subject: subject, Value: value}}
}
