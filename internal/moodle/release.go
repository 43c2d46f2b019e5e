package moodle

import "time"

// supportEnds are the last days of security support, by the $branch in version.php. They are those of data/versions.json
// in github.com/moodle/devdocs (securityEndDate); of the branches that still had support in November 2026, the dates of
// the calendar of releases at moodledev.io at that time, which moves them by some days now and then.
var supportEnds = map[string]time.Time{
	"39":  day(2023, time.December, 11),
	"310": day(2022, time.May, 9),
	"311": day(2023, time.December, 11),
	"400": day(2023, time.December, 11),
	"401": day(2025, time.December, 8),
	"402": day(2024, time.October, 7),
	"403": day(2025, time.April, 21),
	"404": day(2025, time.December, 8),
	"405": day(2027, time.October, 4),
	"500": day(2026, time.October, 5),
	"501": day(2027, time.April, 19),
	"502": day(2027, time.October, 4),
	"503": day(2029, time.October, 8),
}

func day(year int, month time.Month, day int) time.Time {
	return time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
}

// SupportEnd is when the branch (405 for 4.5) gets its last security fixes; known is false for a branch that is younger
// than this program, or so old that nobody should have to be told.
func SupportEnd(branch string) (end time.Time, known bool) {
	end, known = supportEnds[branch]
	return end, known
}
