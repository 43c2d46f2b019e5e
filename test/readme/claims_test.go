package readme

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

var (
	link       = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	notInSlug  = regexp.MustCompile(`[^\p{L}\p{N}_ -]+`)
	alert      = regexp.MustCompile(`\bMoodle[A-Z][A-Za-z]+\b`)
	ownPath    = regexp.MustCompile(`^(cmd|collector|backup|alerts|dashboards|docs|internal|packaging|scripts|test)/[\w./-]*$`)
	target     = regexp.MustCompile(`^make( [a-z].*)?$`)
	singleTest = regexp.MustCompile(`^go test -run (\w+) \./(\S+)$`)
	ratio      = regexp.MustCompile(`(\d[\d.]*) ×`)
	flagWord   = regexp.MustCompile(`^--([a-z][a-z0-9.-]*)`)
)

// slug is what a heading is called in a link, as GitHub does it.
func slug(heading string) string {
	return strings.ReplaceAll(notInSlug.ReplaceAllString(strings.ToLower(strings.ReplaceAll(heading, "`", "")), ""), " ", "-")
}

// TestLinks: what a page leads to within this repository is there.
func TestLinks(t *testing.T) {
	all := pages(t)
	for _, p := range all {
		for _, line := range p.prose {
			for _, found := range link.FindAllStringSubmatch(line.text, -1) {
				if strings.HasPrefix(found[1], "https://") {
					continue
				}
				path, anchor, _ := strings.Cut(found[1], "#")
				at := filepath.Join(filepath.Dir(p.path), path)
				if path == "" {
					at = p.path
				}
				if _, err := os.Stat(filepath.Join(root, at)); err != nil {
					t.Errorf("%s: %v", p.at(line), err)
				}
				other := slices.IndexFunc(all, func(q *page) bool { return q.path == at })
				if anchor != "" && (other < 0 || !slices.ContainsFunc(all[other].headings, func(heading string) bool { return slug(heading) == anchor })) {
					t.Errorf("%s: %s has no heading %q", p.at(line), at, anchor)
				}
			}
		}
	}
}

// TestNames: alerts, files, targets of make and single tests that a page names are there.
func TestNames(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	must(t, err)
	for _, p := range pages(t) {
		for _, line := range p.prose {
			for _, name := range alert.FindAllString(line.text, -1) {
				if matches, err := filepath.Glob(filepath.Join(root, "alerts", "runbooks", name+"*.md")); err != nil || len(matches) == 0 {
					t.Errorf("%s: there is no alert %s", p.at(line), name)
				}
			}
		}
		for _, said := range slices.Concat(p.spans, shellLines(p)) {
			if ownPath.MatchString(said.text) {
				if _, err := os.Stat(filepath.Join(root, said.text)); err != nil {
					t.Errorf("%s: %v", p.at(said), err)
				}
			}
			if target.MatchString(said.text) {
				for _, goal := range strings.Fields(said.text)[1:] {
					if !strings.Contains(goal, "=") && !strings.Contains(string(makefile), "\n"+goal+":") {
						t.Errorf("%s: make knows no %s", p.at(said), goal)
					}
				}
			}
			if found := singleTest.FindStringSubmatch(said.text); found != nil {
				if err := exec.CommandContext(t.Context(), "grep", "-rqs", "^func "+found[1]+"(t ", filepath.Join(root, found[2])).Run(); err != nil {
					t.Errorf("%s: there is no test %s in %s", p.at(said), found[1], found[2])
				}
			}
		}
	}
}

// shellLines are the commands in blocks, one by one.
func shellLines(p *page) (lines []piece) {
	for _, block := range p.blocks {
		if block.language != "" && block.language != "sh" {
			continue
		}
		for i, line := range strings.Split(block.text, "\n") {
			line, _, _ = strings.Cut(line, " #")
			line, _, _ = strings.Cut(line, " | ")
			for part := range strings.SplitSeq(line, "&&") {
				lines = append(lines, piece{text: strings.TrimPrefix(strings.TrimSpace(part), "sudo "), line: block.line + i})
			}
		}
	}
	return lines
}

// TestFlags: a flag that stands alone in a sentence is one of the program's.
func TestFlags(t *testing.T) {
	program, err := stand.ExporterBinary(t.TempDir())
	must(t, err)
	help, err := exec.CommandContext(t.Context(), program, "--help-long").CombinedOutput()
	must(t, err)
	known := understand(string(help))
	for _, p := range pages(t) {
		for _, span := range p.spans {
			if !strings.HasPrefix(span.text, "--") {
				continue
			}
			for word := range strings.FieldsSeq(span.text) {
				found := flagWord.FindStringSubmatch(word)
				if found == nil || slices.Contains(known.flags, found[1]) {
					continue
				}
				// --no-collector.NAME stands for all that begin so.
				if !strings.HasSuffix(word, "NAME") || !slices.ContainsFunc(known.flags, func(flag string) bool { return strings.HasPrefix(flag, found[1]) }) {
					t.Errorf("%s: %s has no flag --%s", p.at(span), filepath.Base(program), found[1])
				}
			}
		}
	}
}

// recipient is a public key for configuration that shows none.
const recipient = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"

// TestConfiguration: a block of YAML is one of the examples, which are tried with the alerts, or a configuration.
func TestConfiguration(t *testing.T) {
	examples, err := filepath.Glob(filepath.Join(root, "docs", "examples", "*"))
	must(t, err)
	var shown []string
	for _, example := range examples {
		text, err := os.ReadFile(example)
		must(t, err)
		shown = append(shown, string(text))
	}
	for _, p := range pages(t) {
		for _, block := range p.blocks {
			if block.language != "yaml" || slices.Contains(shown, block.text) {
				continue
			}
			if _, err := config.Parse([]byte(strings.ReplaceAll(block.text, "age1…", recipient))); err != nil {
				t.Errorf("%s: %v", p.at(block), err)
			}
		}
	}
}

// TestFigures: how many times as fast README says we are is what was measured last.
func TestFigures(t *testing.T) {
	proven, err := os.ReadFile(filepath.Join(root, "docs", "proof.md"))
	must(t, err)
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	must(t, err)
	claimed := ratio.FindAllStringSubmatch(string(text), -1)
	if len(claimed) == 0 {
		t.Error("README.md claims nothing")
	}
	for _, claim := range claimed {
		if !strings.Contains(string(proven), " "+claim[1]+" x as fast") {
			t.Errorf("README.md claims %s, which docs/proof.md does not say", claim[0])
		}
	}
	kills := regexp.MustCompile(`\d+ kills`).FindString(string(text))
	if kills == "" || !strings.Contains(string(proven), kills+" of the run;") {
		t.Errorf("README.md claims %q, which docs/proof.md does not say", kills)
	}
}

// TestShort: README stays a page that somebody reads.
func TestShort(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	must(t, err)
	if lines := strings.Count(string(text), "\n"); lines > 350 {
		t.Errorf("README.md has %d lines; what is longer belongs to a page in docs", lines)
	}
}
