package moodle

import (
	"strconv"
	"strings"
)

// A phpScanner reads the assignments of literals at the top level of a PHP file: what config.php and
// version.php mostly consist of. It runs nothing and believes nothing that it does not fully understand.
type phpScanner struct {
	text string
	pos  int
	dir  string // value of __DIR__
}

// literals is what a PHP file surely sets, by variable: "version" for $version, "CFG->dbname",
// "CFG->dboptions[dbport]".
type literals struct {
	values   map[string]string
	unsure   map[string]bool // set by a call, a condition or a variable: not to be believed
	includes bool            // reads another file than lib/setup.php, which may set anything
}

// assignments reads the literals of a file; dir is its directory.
func assignments(text, dir string) literals {
	s := &phpScanner{text: text, dir: dir}
	found := literals{values: map[string]string{}, unsure: map[string]bool{}}
	depth, fresh := 0, true // fresh: a statement begins here
	for s.next() {
		c := s.text[s.pos]
		switch {
		case c == '$':
			name, assigned := s.target()
			fresh = name != "" && assigned && found.take(s, name, fresh && depth == 0)
			continue
		case c == '\'' || c == '"':
			s.quoted()
			fresh = false
			continue
		case isWord(c):
			depth += s.keyword(&found)
			fresh = false
			continue
		case c == '{':
			depth++
		case c == '}':
			depth--
		case c == ':' && strings.HasSuffix(strings.TrimSpace(s.text[:s.pos]), ")"):
			depth++ // if (…): up to its endif
		}
		fresh = c == ';' || c == '{' || c == '}'
		s.pos++
	}
	for name := range found.values {
		base, _, _ := strings.Cut(name, "[")
		if found.unsure[name] || found.unsure[base] {
			delete(found.values, name)
		}
	}
	return found
}

// take reads what is assigned to name; certain says that nothing decides whether it is. It returns whether
// the statement was read to its end.
func (l *literals) take(s *phpScanner, name string, certain bool) bool {
	values, understood := s.expression(name)
	if !understood || !certain {
		l.unsure[name] = true
		return understood
	}
	for key, value := range values {
		l.values[key] = value
	}
	return true
}

// keyword reads a word and returns by how much it changes the depth of conditions.
func (s *phpScanner) keyword(found *literals) int {
	switch word := strings.ToLower(s.word()); word {
	case "endif", "endforeach", "endfor", "endwhile", "endswitch":
		return -1
	case "require", "require_once", "include", "include_once":
		statement, _, _ := strings.Cut(s.text[s.pos:], ";")
		if !strings.Contains(statement, "lib/setup.php") {
			found.includes = true
		}
	}
	return 0
}

// next moves to the next character that is neither white space nor comment.
func (s *phpScanner) next() bool {
	for s.pos < len(s.text) {
		rest := s.text[s.pos:]
		switch {
		case strings.IndexByte(" \t\r\n", rest[0]) >= 0:
			s.pos++
		case strings.HasPrefix(rest, "/*"):
			s.skipPast("*/")
		case strings.HasPrefix(rest, "//"), rest[0] == '#' && !strings.HasPrefix(rest, "#["):
			s.skipPast("\n")
		case strings.HasPrefix(rest, "?>"), strings.HasPrefix(rest, "<?php"):
			s.skipPast("<?php")
		default:
			return true
		}
	}
	return false
}

func (s *phpScanner) skipPast(end string) {
	if i := strings.Index(s.text[s.pos:], end); i >= 0 {
		s.pos += i + len(end)
		return
	}
	s.pos = len(s.text)
}

// target reads a variable such as $CFG->dboptions['dbport'] and says whether a plain = follows.
func (s *phpScanner) target() (name string, assigned bool) {
	s.pos++
	name = s.word()
	for name != "" && s.next() {
		rest := s.text[s.pos:]
		switch {
		case strings.HasPrefix(rest, "->"):
			s.pos += 2
			name += "->" + s.word()
		case rest[0] == '[':
			s.pos++
			key, understood := s.scalar()
			if !understood || !s.take(']') {
				return name, false
			}
			name += "[" + key + "]"
		case rest[0] == '=' && !strings.HasPrefix(rest, "==") && !strings.HasPrefix(rest, "=>"):
			s.pos++
			return name, true
		case len(rest) > 1 && rest[1] == '=' && strings.IndexByte(".+-*/?", rest[0]) >= 0,
			strings.HasPrefix(rest, "??="):
			// $x .= 'y' changes a value in a way that is not followed: a failing expression marks it.
			return name, true
		default:
			return name, false
		}
	}
	return name, false
}

func (s *phpScanner) word() string {
	start := s.pos
	for s.pos < len(s.text) && (isWord(s.text[s.pos])) {
		s.pos++
	}
	return s.text[start:s.pos]
}

func isWord(c byte) bool {
	return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func (s *phpScanner) take(c byte) bool {
	if s.next() && s.text[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

// expression reads a literal, literals joined by dots, or a flat array, up to its semicolon.
func (s *phpScanner) expression(name string) (map[string]string, bool) {
	if values, understood := s.array(name); understood {
		return values, s.take(';')
	}
	value, understood := s.scalar()
	for understood && s.take('.') {
		var more string
		more, understood = s.scalar()
		value += more
	}
	return map[string]string{name: value}, understood && s.take(';')
}

func (s *phpScanner) array(name string) (map[string]string, bool) {
	start := s.pos
	closing := byte(']')
	if !s.take('[') {
		if !s.next() || !strings.HasPrefix(strings.ToLower(s.text[s.pos:]), "array") {
			return nil, false
		}
		s.pos += len("array")
		closing = ')'
		if !s.take('(') {
			s.pos = start
			return nil, false
		}
	}
	values := map[string]string{}
	for !s.take(closing) {
		key, understood := s.scalar()
		if !understood || !s.take('=') || !s.take('>') {
			s.pos = start
			return nil, false
		}
		value, understood := s.scalar()
		if !understood {
			s.pos = start
			return nil, false
		}
		values[name+"["+key+"]"] = value
		s.take(',')
	}
	return values, true
}

// scalar reads a string, number, true, false, null, __DIR__ or dirname(__FILE__).
func (s *phpScanner) scalar() (string, bool) {
	if !s.next() {
		return "", false
	}
	switch c := s.text[s.pos]; {
	case c == '\'' || c == '"':
		return s.quoted()
	case c == '-' || c >= '0' && c <= '9':
		return s.number()
	}
	start := s.pos
	switch word := strings.ToLower(s.word()); word {
	case "true":
		return "1", true
	case "false", "null":
		return "", true
	case "__dir__":
		return s.dir, true
	case "dirname":
		if s.take('(') && strings.EqualFold(s.word(), "__FILE__") && s.take(')') {
			return s.dir, true
		}
	case "maturity_alpha", "maturity_beta", "maturity_rc", "maturity_stable":
		return word, true
	}
	s.pos = start + 1
	return "", false
}

func (s *phpScanner) number() (string, bool) {
	start := s.pos
	if s.text[s.pos] == '-' {
		s.pos++
	}
	for s.pos < len(s.text) && (isWord(s.text[s.pos]) || s.text[s.pos] == '.') {
		s.pos++
	}
	text := strings.ReplaceAll(s.text[start:s.pos], "_", "")
	if n, err := strconv.ParseInt(text, 0, 64); err == nil {
		return strconv.FormatInt(n, 10), true
	}
	_, err := strconv.ParseFloat(text, 64)
	return text, err == nil // as written: 2024100700.00 must keep its digits
}

// quoted reads a string in single or double quotes; one with a variable inside is not understood.
func (s *phpScanner) quoted() (string, bool) {
	quote := s.text[s.pos]
	s.pos++
	var value strings.Builder
	understood := true
	for s.pos < len(s.text) {
		c := s.text[s.pos]
		s.pos++
		switch {
		case c == quote:
			return value.String(), understood
		case c == '\\' && s.pos < len(s.text):
			understood = s.escape(quote, &value) && understood
		case c == '$' && quote == '"' && s.pos < len(s.text) && (isWord(s.text[s.pos]) || s.text[s.pos] == '{'):
			understood = false
		case c == '{' && quote == '"' && s.pos < len(s.text) && s.text[s.pos] == '$':
			understood = false
		default:
			value.WriteByte(c)
		}
	}
	return "", false
}

// escape reads what follows a backslash: in single quotes only \\ and \' mean something.
func (s *phpScanner) escape(quote byte, value *strings.Builder) bool {
	c := s.text[s.pos]
	s.pos++
	if c == quote || c == '\\' {
		value.WriteByte(c)
		return true
	}
	if quote == '\'' {
		value.WriteByte('\\')
		value.WriteByte(c)
		return true
	}
	if c == '$' {
		value.WriteByte(c)
		return true
	}
	if i := strings.IndexByte("nrtvef", c); i >= 0 {
		value.WriteByte("\n\r\t\v\x1b\f"[i])
		return true
	}
	if c == 'x' || c == 'u' || c >= '0' && c <= '7' {
		return false // character codes: rare, and PHP reads them for us
	}
	value.WriteByte('\\')
	value.WriteByte(c)
	return true
}
