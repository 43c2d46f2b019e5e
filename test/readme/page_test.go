package readme

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// root is the repository.
const root = "../.."

// page is one page of the documentation.
type page struct {
	path     string // below root
	blocks   []piece
	spans    []piece // code within sentences and tables
	prose    []piece // lines that are no code, with the code spans left out
	headings []string
}

// piece is a part of a page.
type piece struct {
	language string // of a block
	text     string
	line     int
}

// at is where a piece stands, for messages.
func (p *page) at(q piece) string { return fmt.Sprintf("%s:%d", p.path, q.line) }

// pages are README.md, all of docs, and the runbooks.
func pages(t *testing.T) []*page {
	t.Helper()
	paths := []string{"README.md"}
	for _, dir := range []string{"docs", "alerts/runbooks"} {
		must(t, filepath.WalkDir(filepath.Join(root, dir), func(path string, _ fs.DirEntry, err error) error {
			if filepath.Ext(path) == ".md" {
				relative, _ := filepath.Rel(root, path)
				paths = append(paths, relative)
			}
			return err
		}))
	}
	var all []*page
	for _, path := range paths {
		text, err := os.ReadFile(filepath.Join(root, path))
		must(t, err)
		p, err := parse(path, string(text))
		must(t, err)
		all = append(all, p)
	}
	return all
}

var (
	code    = regexp.MustCompile("`([^`]*)`")
	heading = regexp.MustCompile(`^#+ (.*)`)
)

// parse takes a page of Markdown apart, as far as ours use it.
func parse(path, text string) (*page, error) {
	p := &page{path: path}
	var block *piece
	for number, line := range strings.Split(text, "\n") {
		here := piece{text: line, line: number + 1}
		fence, language := strings.CutPrefix(strings.TrimLeft(line, " "), "```")
		switch {
		case language && block == nil:
			block = &piece{language: fence, line: here.line + 1}
		case language:
			p.blocks = append(p.blocks, *block)
			block = nil
		case block != nil:
			block.text += line + "\n"
		case strings.Count(line, "`")%2 != 0:
			return nil, fmt.Errorf("%s: a piece of code goes over the end of the line, so nobody tries it", p.at(here))
		default:
			p.take(here)
		}
	}
	if block != nil {
		return nil, fmt.Errorf("%s: the block is not closed", p.at(*block))
	}
	return p, nil
}

// take takes a line that is in no block.
func (p *page) take(line piece) {
	if found := heading.FindStringSubmatch(line.text); found != nil {
		p.headings = append(p.headings, found[1])
	}
	for _, found := range code.FindAllStringSubmatch(line.text, -1) {
		// A bar is escaped where it would end the cell of a table.
		p.spans = append(p.spans, piece{text: strings.ReplaceAll(found[1], `\|`, "|"), line: line.line})
	}
	line.text = code.ReplaceAllString(line.text, "")
	p.prose = append(p.prose, line)
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}
