package moodle

import "strings"

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
