package statuspage

import (
	"fmt"
	"html"
	"regexp"
	"slices"
	"strings"
)

var (
	tableRule  = regexp.MustCompile(`^\|[ :|-]*-[ :|-]*$`)
	inlineMark = regexp.MustCompile("`[^`]+`|\\*\\*[^*]+\\*\\*|\\b[A-Z][A-Za-z0-9]+\\b")
)

func isTable(lines []string) bool {
	return len(lines) > 1 && strings.HasPrefix(lines[0], "|") && tableRule.MatchString(lines[1])
}

func (m markdown) table(out *strings.Builder, lines []string) (rest []string) {
	row := func(line, open, end string) {
		out.WriteString("<tr>")
		for _, cell := range cells(line) {
			fmt.Fprintf(out, "%s%s%s", open, m.inline(strings.TrimSpace(cell)), end)
		}
		out.WriteString("</tr>\n")
	}
	out.WriteString("<table>\n<thead>")
	row(lines[0], `<th scope="col">`, "</th>")
	out.WriteString("</thead>\n<tbody>\n")
	lines = lines[2:]
	for len(lines) > 0 && strings.HasPrefix(lines[0], "|") {
		row(lines[0], "<td>", "</td>")
		lines = lines[1:]
	}
	out.WriteString("</tbody>\n</table>\n")
	return lines
}

// cells splits a row at its bars. One within `code` is a pipe, not the end of a cell.
func cells(line string) []string {
	code := false
	line = strings.Trim(strings.TrimSpace(line), "|")
	return strings.FieldsFunc(line, func(r rune) bool {
		if r == '`' {
			code = !code
		}
		return r == '|' && !code
	})
}

// inline escapes a text and marks up code, bold words and the names of other pages in it.
func (m markdown) inline(text string) string {
	var out strings.Builder
	for len(text) > 0 {
		at := inlineMark.FindStringIndex(text)
		if at == nil {
			break
		}
		found := text[at[0]:at[1]]
		out.WriteString(html.EscapeString(text[:at[0]]))
		text = text[at[1]:]
		switch word := html.EscapeString(found); {
		case found[0] == '`':
			out.WriteString("<code>" + strings.Trim(word, "`") + "</code>")
		case found[0] == '*':
			out.WriteString("<strong>" + m.inline(strings.Trim(found, "*")) + "</strong>")
		case slices.Contains(m.pages, found):
			out.WriteString(`<a href="` + word + `">` + word + "</a>")
		default:
			out.WriteString(word)
		}
	}
	out.WriteString(html.EscapeString(text))
	return out.String()
}
