package statuspage

import (
	"fmt"
	"html"
	"html/template"
	"regexp"
	"strings"
)

// markdown renders the part of Markdown that runbooks are written in: headings, paragraphs, fenced code, nested
// lists, tables, `code` and **bold**. Everything else is text, and all text is escaped: no input makes a tag.
type markdown struct {
	pages []string // names that become links to their page
}

const deepestList = 8

var (
	headingLine = regexp.MustCompile(`^(#{1,6}) +(.*)$`)
	bulletItem  = regexp.MustCompile(`^[-*] +`)
	numberItem  = regexp.MustCompile(`^[0-9]{1,9}\. +`)
)

func (m markdown) render(text string) template.HTML {
	text = strings.Map(printable, strings.ToValidUTF8(text, "\uFFFD"))
	var out strings.Builder
	m.blocks(&out, strings.Split(text, "\n"), 0)
	return template.HTML(out.String()) //nolint:gosec // every piece of text went through html.EscapeString
}

// printable drops what no page may hold.
func printable(r rune) rune {
	if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 || r == 0xfffe || r == 0xffff {
		return -1
	}
	return r
}

func (m markdown) blocks(out *strings.Builder, lines []string, depth int) {
	for len(lines) > 0 {
		line := lines[0]
		heading := headingLine.FindStringSubmatch(line)
		switch {
		case strings.TrimSpace(line) == "":
			lines = lines[1:]
		case strings.HasPrefix(line, "```"):
			lines = fence(out, lines)
		case heading != nil:
			fmt.Fprintf(out, "<h%d>%s</h%[1]d>\n", len(heading[1]), m.inline(heading[2]))
			lines = lines[1:]
		case isTable(lines):
			lines = m.table(out, lines)
		case item(line) != nil && depth < deepestList:
			lines = m.list(out, lines, depth)
		default:
			end := 1
			for end < len(lines) && !startsBlock(lines[end:]) {
				end++
			}
			fmt.Fprintf(out, "<p>%s</p>\n", m.inline(strings.Join(lines[:end], "\n")))
			lines = lines[end:]
		}
	}
}

func startsBlock(lines []string) bool {
	line := lines[0]
	return strings.TrimSpace(line) == "" || strings.HasPrefix(line, "```") || headingLine.MatchString(line) ||
		item(line) != nil || isTable(lines)
}

// fence writes the lines up to the closing fence, or to the end, as they are.
func fence(out *strings.Builder, lines []string) (rest []string) {
	end := 1
	for end < len(lines) && !strings.HasPrefix(lines[end], "```") {
		end++
	}
	code := html.EscapeString(strings.Join(lines[1:end], "\n"))
	fmt.Fprintf(out, "<pre tabindex=\"0\"><code>%s</code></pre>\n", code)
	return lines[min(end+1, len(lines)):]
}

// item returns the kind of list that a line begins, or nil.
func item(line string) *regexp.Regexp {
	for _, kind := range []*regexp.Regexp{bulletItem, numberItem} {
		if kind.MatchString(line) {
			return kind
		}
	}
	return nil
}

// list writes the items of one list. What is indented as far as an item's text belongs to the item.
func (m markdown) list(out *strings.Builder, lines []string, depth int) (rest []string) {
	kind, tag := item(lines[0]), "ul"
	if kind == numberItem {
		tag = "ol"
	}
	fmt.Fprintf(out, "<%s>\n", tag)
	for len(lines) > 0 && kind.MatchString(lines[0]) {
		marker := kind.FindString(lines[0])
		indent := strings.Repeat(" ", len(marker))
		body := []string{strings.TrimPrefix(lines[0], marker)}
		end := 1
		for ; end < len(lines); end++ {
			inside, indented := strings.CutPrefix(lines[end], indent)
			if !indented && strings.TrimSpace(lines[end]) != "" {
				break
			}
			body = append(body, inside)
		}
		lines = lines[end:]
		var inner strings.Builder
		m.blocks(&inner, body, depth+1)
		fmt.Fprintf(out, "<li>%s</li>\n", tight(inner.String()))
	}
	fmt.Fprintf(out, "</%s>\n", tag)
	return lines
}

// tight takes the paragraph's tags off the first text of an item.
func tight(body string) string {
	text, isText := strings.CutPrefix(strings.TrimSpace(body), "<p>")
	if !isText {
		return body
	}
	return strings.Replace(text, "</p>", "", 1)
}
