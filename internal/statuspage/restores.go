package statuspage

import (
	"fmt"
	"time"
)

// Restore is a restore that is not over with: broken off, or at its end and still keeping the site as it was before.
type Restore struct {
	Site, Backup string
	Started      time.Time
	BrokenOff    string // while what it was broken off; empty for one that has come to its end
	Touched      bool   // it was broken off with the site in maintenance mode, or just opened
}

// restores tells of what restores have left. One that is at work now is shown among the jobs.
func restores(v *view) []Line {
	var lines []Line
	for _, restore := range v.extras.Restores {
		line := Line{Site: restore.Site, Subject: "restore"}
		begun := restore.Started.In(v.zone).Format("2006-01-02 15:04")
		switch {
		case restore.BrokenOff == "":
			line.Level, line.Value = Info, fmt.Sprintf("the site as it was before the restore of %s is still kept, and takes room", begun)
			line.Advice = fmt.Sprintf("When the restored site has proved itself, run `moodle-exporter restore --discard --site=%s` as root.", restore.Site)
		case v.is(1, "job_running", "site", restore.Site, "name", "restore"):
			continue
		default:
			line.Level, line.Value = Warning, fmt.Sprintf("that of %s from backup %s was broken off %s", begun, restore.Backup, restore.BrokenOff)
			line.Advice = fmt.Sprintf("Run `moodle-exporter restore --site=%s` as root: it finds this restore, and finishes or undoes it.", restore.Site)
			if restore.Touched {
				line.Level = Critical
				line.Advice += " Until then leave the maintenance page where it is: parts of the site may be those from before, and others those of the backup. Nothing is lost, all parts are kept."
			}
		}
		lines = append(lines, line)
	}
	return lines
}
