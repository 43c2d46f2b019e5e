package update

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// Plan is what an update would do, found without touching the site.
type Plan struct {
	Site      string
	From, To  moodle.Version
	Source    string               // where the new code comes from, in words
	Commit    string               // of git; empty for other sources
	UpToDate  bool                 // there is nothing to do
	Plugins   map[string][2]string // plugins whose version changes, before and after; only those asked for
	Available []Available
	Do        []string // in the order in which it is done
	Notes     []string // what the administrator should know
	Problems  []Problem
	Closed    time.Duration // that the site is expected to be closed
	Rollback  time.Duration // that the way back is expected to take, the site being closed
}

// Problem is what keeps an update from being done.
type Problem struct {
	Text string
	Do   string // what mends it, ready to paste where that is possible
	// Word is one that only wants an administrator's word (Options.Insist).
	Word bool
}

// Available is newer code that somebody offers.
type Available struct {
	Component string // core, mod_checklist
	Version   string // v4.5.8, or the number of a plugin
	Release   string
	From      string // git, or Moodle's own list
}

func (p *Plan) note(format string, values ...any) {
	p.Notes = append(p.Notes, fmt.Sprintf(format, values...))
}

func (p *Plan) problem(do, format string, values ...any) {
	p.Problems = append(p.Problems, Problem{Text: fmt.Sprintf(format, values...), Do: do})
}

func (p *Plan) word(do, format string, values ...any) {
	p.Problems = append(p.Problems, Problem{Text: fmt.Sprintf(format, values...), Do: do, Word: true})
}

func (p *Plan) step(format string, values ...any) {
	p.Do = append(p.Do, fmt.Sprintf(format, values...))
}

// Text writes the plan for people.
func (p *Plan) Text(to io.Writer) error {
	var errs []error
	line := func(format string, values ...any) {
		_, err := fmt.Fprintf(to, format+"\n", values...)
		errs = append(errs, err)
	}
	for _, a := range p.Available {
		line("Available: %s %s %s (%s).", a.Component, a.Version, a.Release, a.From)
	}
	if p.UpToDate {
		line("Site %s is up to date: Moodle %s from %s.", p.Site, p.From.Release, p.Source)
		return errors.Join(errs...)
	}
	line("Update of site %s from Moodle %s (%s) to %s (%s), from %s.", p.Site, p.From.Release, p.From.Number, p.To.Release, p.To.Number, p.Source)
	for i, step := range p.Do {
		line("%3d. %s.", i+1, step)
	}
	line("The site is expected to be closed for about %s. Should the update fail, the way back takes about %s more.", p.Closed.Round(time.Second), p.Rollback.Round(time.Second))
	for _, note := range p.Notes {
		line("Note: %s.", note)
	}
	for _, problem := range p.Problems {
		kind := "STANDS IN THE WAY"
		if problem.Word {
			kind = "WANTS --yes"
		}
		line("%s: %s.", kind, problem.Text)
		if problem.Do != "" {
			line("    %s", strings.ReplaceAll(problem.Do, "\n", "\n    "))
		}
	}
	return errors.Join(errs...)
}

// Refusal is all that stands in the way, at once; nil if nothing does. insist passes over what only wants a word.
func (p *Plan) Refusal(insist bool) error {
	var texts, dos []string
	for _, problem := range p.Problems {
		if problem.Word && insist {
			continue
		}
		texts = append(texts, problem.Text)
		if problem.Do != "" {
			dos = append(dos, problem.Do)
		}
	}
	if len(texts) == 0 {
		return nil
	}
	return &backup.RefusedError{
		Happened: "site " + p.Site + " cannot be updated as things are: " + strings.Join(texts, "; "),
		Means:    "nothing was begun, and nothing of the site was touched", Do: strings.Join(dos, "\n"),
	}
}
