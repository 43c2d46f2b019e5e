package statuspage

import (
	"fmt"
	"slices"
)

// backupSwitch says whether backups are made at all.
func backupSwitch(v *view, site string) []Line {
	enabled, known := v.get("backup_enabled", "site", site)
	switch {
	case !known:
		return []Line{missing("backups", "backup_enabled")}
	case enabled == 0:
		return []Line{{Level: Info, Subject: "backups", Value: "switched off for this site"}}
	}
	return nil
}

// eachBackup asks a check for every site whose backups are switched on.
func eachBackup(judge func(v *view, site string) []Line) func(*view) []Line {
	return eachSite(func(v *view, site string) []Line {
		if !v.is(1, "backup_enabled", "site", site) {
			return nil
		}
		return judge(v, site)
	})
}

// backupAges judges the complete backup first, then each component, in the order of a backup.
func backupAges(v *view, site string) []Line {
	components := []string{"all", "database", "files", "code", "config", "logs", "system"}
	for _, component := range v.values("component", "backup_last_success_timestamp_seconds") {
		if !slices.Contains(components, component) {
			components = append(components, component)
		}
	}
	var lines []Line
	for _, component := range components {
		if line, shown := backupAge(v, site, component); shown {
			lines = append(lines, line)
		}
	}
	return lines
}

// backupAge agrees with MoodleBackupTooOld and MoodleBackupNeverSucceeded, which knows the complete backup
// alone and leaves a new host 26 hours.
func backupAge(v *view, site, component string) (line Line, shown bool) {
	subject := component
	if component == "all" {
		subject = "complete backup"
	}
	last, made := v.get("backup_last_success_timestamp_seconds", "site", site, "component", component)
	limit, limited := v.get("backup_max_age_seconds", "site", site, "component", component)
	if !made {
		return Line{
			Level: Critical, Subject: subject, Value: "none", Runbook: "MoodleBackupNeverSucceeded",
			Advice: fmt.Sprintf("If the site were lost now, it could not be restored. Run `moodle-exporter backup --site=%s` as root and read what it says.", site),
		}, component == "all"
	}
	age, sensible := v.age(last)
	value := span(age) + " old"
	if limited {
		value += fmt.Sprintf(", at most %s", span(limit))
	}
	if bytes, known := v.get("backup_last_size_bytes", "site", site, "component", component); known {
		value += ", " + size(bytes)
	}
	switch {
	case !sensible:
		return futureTime(subject), true
	case limited && age > limit:
		return Line{
			Level: Critical, Subject: subject, Value: value, Runbook: "MoodleBackupTooOld",
			Advice: fmt.Sprintf("If the site were lost now, everything since then would be lost with it. Run `moodle-exporter backup --site=%s` as root and read what it says.", site),
		}, true
	case !limited && component == "all":
		line := missing(subject, `backup_max_age_seconds{component="all"}`)
		line.Value = value
		return line, true
	}
	return Line{Level: OK, Subject: subject, Value: value}, true
}

// backupRun shows how the last run ended; it is judged among the jobs.
func backupRun(v *view, site string) []Line {
	result, known := v.get("job_last_result", "site", site, "name", "backup")
	switch {
	case !known:
		return nil // it has never run, or runs now
	case result == 1:
		return []Line{{Level: OK, Subject: "last run", Value: ended(v, site, "backup", "done")}}
	}
	return []Line{{Level: Info, Subject: "last run", Value: ended(v, site, "backup", failed) + ", see under Jobs"}}
}

// backupPlace says whether one broken disk takes the site and its backups.
func backupPlace(v *view, site string) []Line {
	same, known := v.get("backup_same_filesystem", "site", site)
	switch {
	case !known && len(v.all("backup_last_success_timestamp_seconds", "site", site)) == 0:
		return nil // there is nothing that could lie anywhere
	case !known:
		return []Line{missing("place", "backup_same_filesystem")}
	case same == 0:
		return []Line{{Level: OK, Subject: "place", Value: "on another disk than the site"}}
	}
	return []Line{{
		Level: Warning, Subject: "place", Value: "on the same disk as the site",
		Advice: "If this disk breaks, the site and its backups are lost together. Mount another disk or a share at the backup directory (`backup.dir`), or copy the backups to another place.",
	}}
}

// backupIntact judges what the last verification found.
func backupIntact(v *view, site string) []Line {
	damaged, _ := v.get("backup_damaged_files", "site", site)
	if damaged > 0 || v.is(0, "backup_last_verify_result", "site", site) {
		value := "failed"
		if damaged > 0 {
			value += fmt.Sprintf(", %s damaged", count(damaged, "file"))
		}
		return []Line{{
			Level: Critical, Subject: "verified", Value: value, Runbook: "MoodleBackupVerifyFailed",
			Advice: fmt.Sprintf("What is damaged cannot be restored. Run `moodle-exporter backup verify --site=%s` as root to see which backups it hurts, and make a new backup, which heals them from the site.", site),
		}}
	}
	last, verified := v.get("backup_last_verify_success_timestamp_seconds", "site", site)
	limit, limited := v.get("backup_verify_max_age_seconds", "site", site)
	age, sensible := v.age(last)
	switch {
	case !verified:
		return []Line{{Level: Info, Subject: "verified", Value: "not yet"}}
	case !sensible:
		return []Line{futureTime("verified")}
	case limited && age > limit:
		return []Line{{
			Level: Warning, Subject: "verified", Value: fmt.Sprintf("%s ago, at most %s", span(age), span(limit)), Runbook: "MoodleBackupUnverified",
			Advice: fmt.Sprintf("Whether the backups are still readable is not known. Run `moodle-exporter backup verify --site=%s` as root.", site),
		}}
	}
	return []Line{{Level: OK, Subject: "verified", Value: fmt.Sprintf("intact, %s ago", span(age))}}
}

// backupMissing counts files that the site had lost before the backup came.
func backupMissing(v *view, site string) []Line {
	missingFiles, known := v.get("backup_missing_files", "site", site)
	accepted, _ := v.get("backup_missing_files_accepted", "site", site)
	if !known || missingFiles <= accepted {
		return nil
	}
	return []Line{{
		Level: Warning, Subject: "lost files", Value: fmt.Sprintf("%.0f missing in the site, %.0f accepted", missingFiles, accepted), Runbook: "MoodleBackupFilesMissing",
		Advice: "The database names files that moodledata no longer has; no backup from now on can bring them back, but an older one may. " +
			"Restore them, or accept the loss with `moodle-exporter backup accept-missing`.",
	}}
}
