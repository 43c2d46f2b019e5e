package moodle

import (
	"strconv"
	"strings"
)

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
