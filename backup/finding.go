package backup

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Finding is one file that is not as it was written.
type Finding struct {
	File  string   // below the directory of the site's backups
	What  string   // "flipped: …", "truncated: …", "missing", "foreign", …
	Hurts []string // IDs of the backups that need it
	Moved string   // where it lies now, if it was moved
}

// Report is what a verification has seen.
type Report struct {
	Backups   int // that were looked at
	Blobs     int64
	ReadFiles int64
	ReadBytes int64
	Share     int // that was read; 0 is the first, -1: everything was read
	Findings  []Finding
	Damaged   int64 // all of them, where Findings are the first many
	Foreign   int64
}

// fewFindings bounds what is told one by one. damaged.list has all content files.
const fewFindings = 1000

// DamageError is a verification that came to its end and found something.
type DamageError struct {
	Site             string
	Damaged, Foreign int64
	Hurts            []string // IDs of backups
	where            whereabouts
}

// whereabouts are the words for damage in one kind of place.
type whereabouts struct{ files, foreign, backups, advice string }

var (
	inDirectory = whereabouts{
		"files of the backups", "files among the backups", "backups",
		"Make a backup now: `moodle-exporter backup --site=%s`. It mends what the site still has, and is whole itself. Then see why the disk has lost them.",
	}
	inBucket = whereabouts{
		"objects of the copies of the backups", "objects among the copies", "copies",
		"Copy again: `moodle-exporter backup copy --site=%s`. It mends what the backups on this host still have. Then see who or what changes objects in the bucket.",
	}
)

func (e *DamageError) Error() string {
	var lines []string
	if e.Damaged > 0 {
		hurt := ""
		if len(e.Hurts) > 0 {
			hurt = fmt.Sprintf(", and the %s %v cannot be restored whole", e.where.backups, e.Hurts)
		}
		lines = append(lines, fmt.Sprintf("%d %s of %s are damaged or missing%s.", e.Damaged, e.where.files, e.Site, hurt), fmt.Sprintf(e.where.advice, e.Site))
	}
	if e.Foreign > 0 {
		lines = append(lines, fmt.Sprintf("%d %s of %s are not ours. They hurt no backup, but only this program should write there: see where they come from, and remove them.",
			e.Foreign, e.where.foreign, e.Site))
	}
	return strings.Join(lines, "\n")
}

// findings are what a verification has found.
type findings struct {
	mu     sync.Mutex
	report Report
	hurts  map[string]bool
	log    *slog.Logger
	all    string // where all damaged content files are named
}

func newFindings(log *slog.Logger, all string) findings {
	return findings{hurts: map[string]bool{}, log: log, all: all}
}

// note counts and tells one finding.
func (t *findings) note(f Finding) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if f.What == "foreign" {
		t.report.Foreign++
	} else {
		t.report.Damaged++
	}
	for _, id := range f.Hurts {
		t.hurts[id] = true
	}
	if len(t.report.Findings) == fewFindings {
		t.log.Warn("more files are damaged or foreign than are told here", "content_files", t.all)
	}
	t.report.Findings = append(t.report.Findings[:min(len(t.report.Findings), fewFindings)], f)
	if len(t.report.Findings) > fewFindings {
		return
	}
	told := []any{"file", f.File, "what", f.What}
	if len(f.Hurts) > 0 {
		told = append(told, "hurts", f.Hurts)
	}
	if f.Moved != "" {
		told = append(told, "moved_to", f.Moved)
	}
	t.log.Warn("a file of the backups is not as it was written", told...)
}

func (t *findings) countRead(bytes int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.report.ReadFiles++
	t.report.ReadBytes += bytes
}

// damage is the error of a verification that has found something.
func (t *findings) damage(where whereabouts, site string) *DamageError {
	return &DamageError{site, t.report.Damaged, t.report.Foreign, slices.Sorted(maps.Keys(t.hurts)), where}
}
