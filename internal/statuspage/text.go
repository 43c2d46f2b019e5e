package statuspage

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

const (
	textWidth    = 80
	subjectWidth = 24
	valueColumn  = 2 + 8 + 2 + subjectWidth + 2 // indent, the longest level, subject
	adviceColumn = 12
)

// ansi are the colours of the levels: those that can be read on light and dark terminals.
var ansi = [...]string{OK: "32", Warning: "33;1", Critical: "31;1", Unknown: "35;1", Info: "2"}

// WriteText writes the report for a terminal of 80 columns. Its first line says whether all is right.
func WriteText(w io.Writer, report Report, colour bool) error {
	t := &text{colour: colour}
	t.printf("%s  ", t.level(report.Level))
	t.wrapped(report.Summary, len("CRITICAL  "))
	for _, section := range report.Sections {
		t.printf("\n%s\n", section.Name)
		for _, group := range section.Groups() {
			if group.Site != "" {
				t.printf("  %s:\n", group.Site)
			}
			for _, line := range group.Lines {
				t.line(line)
			}
		}
	}
	t.printf("\nAs of %s\n", strings.TrimSpace(report.Taken.Format("2006-01-02 15:04:05 MST, moodle-exporter ")+report.Version))
	_, err := io.WriteString(w, t.out.String())
	return err
}

// WriteJSON writes the report for programs.
func WriteJSON(w io.Writer, report Report) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(report)
}

// Group is the lines of one site in a section; Site is empty for those of the host.
type Group struct {
	Site  string
	Lines []Line
}

// Groups are the section's lines by site, the host's first.
func (s Section) Groups() []Group {
	var groups []Group
	for _, line := range s.Lines {
		if len(groups) == 0 || groups[len(groups)-1].Site != line.Site {
			groups = append(groups, Group{Site: line.Site})
		}
		last := &groups[len(groups)-1]
		last.Lines = append(last.Lines, line)
	}
	return groups
}

type text struct {
	out    strings.Builder
	colour bool
}

func (t *text) printf(format string, values ...any) { fmt.Fprintf(&t.out, format, values...) }

// level is the level's word as wide as the widest.
func (t *text) level(l Level) string {
	word := strings.ToUpper(l.String())
	pad := strings.Repeat(" ", len("CRITICAL")-len(word))
	if t.colour {
		word = "\x1b[" + ansi[l] + "m" + word + "\x1b[0m"
	}
	return word + pad
}

func (t *text) line(line Line) {
	t.printf("  %s  %s", t.level(line.Level), line.Subject)
	if gap := subjectWidth - utf8.RuneCountInString(line.Subject); gap >= 0 {
		t.printf("%s", strings.Repeat(" ", gap+2))
	} else {
		t.printf("\n%s", strings.Repeat(" ", valueColumn))
	}
	t.wrapped(line.Value, valueColumn)
	if line.Progress != nil {
		const width = 30
		done := int(*line.Progress * width)
		t.printf("%s[%s%s]\n", strings.Repeat(" ", valueColumn), strings.Repeat("#", done), strings.Repeat(".", width-done))
	}
	advice := line.Advice
	if line.Runbook != "" {
		advice = strings.TrimSpace(advice + " Runbook: /runbooks/" + line.Runbook)
	}
	if advice != "" {
		t.printf("%s", strings.Repeat(" ", adviceColumn))
		t.wrapped(advice, adviceColumn)
	}
}

// wrapped writes words from the column where the cursor is, and further lines indented to it.
func (t *text) wrapped(words string, column int) {
	at := column
	for i, word := range strings.Fields(words) {
		length := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case at+1+length > textWidth:
			t.printf("\n%s", strings.Repeat(" ", column))
			at = column
		default:
			t.printf(" ")
			at++
		}
		t.printf("%s", word)
		at += length
	}
	t.printf("\n")
}
