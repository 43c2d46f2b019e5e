package database

import (
	"fmt"
	"strings"
)

// tokenKind tells tokens apart.
type tokenKind int

const (
	word   tokenKind = iota // name, keyword or number, not quoted
	quoted                  // name in backticks
	text                    // string
	sign                    // anything else, one character
)

// token is a piece of a statement, at text[from:to].
type token struct {
	kind     tokenKind
	value    string // without quotes
	from, to int
}

// is says whether the token is this keyword or sign.
func (t token) is(keyword string) bool {
	return t.kind == word && strings.EqualFold(t.value, keyword) || t.kind == sign && t.value == keyword
}

// name says whether the token can be the name of something.
func (t token) name() bool { return t.kind == word || t.kind == quoted }

// tokens are those of a statement. What stands in a comment that a server may execute, /*!50003 … */, counts
// whatever its version; wrappers are the places of its beginnings and ends.
type tokens struct {
	text     string
	list     []token
	wrappers [][2]int
}

// errComment is a dump made so that two servers would read it differently.
var errComment = refusedError("comment with a string that ends it")

// tokenize reads a whole statement. literal is NO_BACKSLASH_ESCAPES.
func tokenize(statement string, literal bool) (tokens, error) {
	t := tokens{text: statement}
	inside := false // an executable comment
	for at := 0; at < len(statement); {
		rest := statement[at:]
		switch c := statement[at]; {
		case c <= ' ':
			at++
		case inside && strings.HasPrefix(rest, "*/"):
			t.wrappers = append(t.wrappers, [2]int{at, at + 2})
			inside = false
			at += 2
		case strings.HasPrefix(rest, "/*!") || strings.HasPrefix(rest, "/*M!"):
			if inside {
				return t, errComment
			}
			end := at + strings.IndexByte(rest, '!') + 1
			for end < len(statement) && statement[end] >= '0' && statement[end] <= '9' {
				end++
			}
			t.wrappers = append(t.wrappers, [2]int{at, end})
			inside = true
			at = end
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest[2:], "*/")
			if end < 0 {
				return t, errComment
			}
			at += 2 + end + 2
		case c == '#' || strings.HasPrefix(rest, "--") && (len(rest) == 2 || rest[2] <= ' '):
			if end := strings.IndexByte(rest, '\n'); end >= 0 {
				at += end
				continue
			}
			at = len(statement)
		default:
			next := t.read(at, literal)
			if inside && next.kind != word && strings.Contains(statement[next.from:next.to], "*/") {
				return t, errComment
			}
			t.list = append(t.list, next)
			at = next.to
		}
	}
	if inside {
		return t, errComment
	}
	return t, nil
}

// read reads the token that begins at a place.
func (t *tokens) read(at int, literal bool) token {
	c := t.text[at]
	end := at + 1
	switch {
	case c == '`' || c == '\'' || c == '"':
		return t.readQuoted(at, literal)
	case wordByte(c):
		for end < len(t.text) && wordByte(t.text[end]) {
			end++
		}
		return token{word, t.text[at:end], at, end}
	}
	return token{sign, t.text[at:end], at, end}
}

// readQuoted reads a string or a name in backticks. A doubled quote stands for one.
func (t *tokens) readQuoted(at int, literal bool) token {
	quote := t.text[at]
	kind := text
	if quote == '`' {
		kind = quoted
	}
	end, doubled := at+1, false
	for end < len(t.text) {
		switch {
		case t.text[end] == '\\' && kind == text && !literal:
			end++
		case t.text[end] != quote:
		case end+1 < len(t.text) && t.text[end+1] == quote:
			end, doubled = end+1, true
		default:
			return token{kind, unquote(t.text[at+1:end], quote, doubled), at, end + 1}
		}
		end++
	}
	return token{kind, t.text[at+1:], at, len(t.text)}
}

func unquote(value string, quote byte, doubled bool) string {
	if !doubled {
		return value
	}
	return strings.ReplaceAll(value, string([]byte{quote, quote}), string([]byte{quote}))
}

func wordByte(c byte) bool {
	return c == '_' || c == '$' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// slice is the statement's text between two places, without the marks of executable comments.
func (t tokens) slice(from, to int) string {
	var out strings.Builder
	for _, wrapper := range t.wrappers {
		if wrapper[0] < from || wrapper[1] > to {
			continue
		}
		out.WriteString(t.text[from:wrapper[0]])
		out.WriteByte(' ')
		from = wrapper[1]
	}
	out.WriteString(t.text[from:to])
	return strings.TrimSpace(out.String())
}

// at is a token by its place in the list; a sign that is none behind the end.
func (t tokens) at(i int) token {
	if i < len(t.list) {
		return t.list[i]
	}
	return token{kind: sign}
}

// match says whether the tokens from i on are these keywords and signs, in words parted by blanks.
func (t tokens) match(i int, keywords string) bool {
	for n, keyword := range strings.Fields(keywords) {
		if !t.at(i + n).is(keyword) {
			return false
		}
	}
	return true
}

// refusedError is a dump with a statement that mariadb-dump and mysqldump do not write, or that would reach
// beyond the schema. It names the kind, never the content.
type refusedError string

func (e refusedError) Error() string {
	return fmt.Sprintf("refused: the dump holds a statement that no dump of a site's schema needs (%s)", string(e))
}
