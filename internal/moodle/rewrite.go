package moodle

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrNotLiteral is a config.php that computes what is to be changed in it: only a person can change that.
var ErrNotLiteral = errors.New("config.php does not set it by one plain line of text")

// ReplaceWWWRoot is a config.php with another $CFG->wwwroot, and not a byte changed beside it. A file that computes the
// address, sets it twice or under a condition, or reads other files that may set it, is refused.
func ReplaceWWWRoot(text, address string) (string, error) {
	const name = "CFG->wwwroot"
	read := assignments(text, "")
	places, plain := valuesOf(text, name)
	_, literal := read.values[name]
	switch {
	case strings.ContainsAny(address, "'\\\n\r\x00"):
		return "", fmt.Errorf("set $%s: the address holds characters that none has", name)
	case read.includes:
		return "", fmt.Errorf("set $%s: %w: it reads another file, which may set it", name, ErrNotLiteral)
	case !literal || read.unsure[name] || !plain || len(places) != 1:
		return "", fmt.Errorf("set $%s: %w; change it by hand to %s", name, ErrNotLiteral, address)
	}
	return text[:places[0][0]] + "'" + address + "'" + text[places[0][1]:], nil
}

// StageConfig is a config.php for code that is tried beside the live one: the settings come last, and so win. It must
// load lib/setup.php of its own tree, not by an absolute path, which would run the live code.
func StageConfig(text string, settings map[string]string) (string, error) {
	place, err := setupLine(text)
	if err != nil {
		return "", err
	}
	var names []string
	for name := range settings {
		if !componentName.MatchString(name) {
			return "", fmt.Errorf("stage config.php: %q is no setting", name)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	var lines strings.Builder
	for _, name := range names {
		value := strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(settings[name])
		fmt.Fprintf(&lines, "$CFG->%s = '%s';\n", name, value)
	}
	return text[:place] + lines.String() + text[place:], nil
}

// setupLine is where the statement begins that loads lib/setup.php.
func setupLine(text string) (int, error) {
	s := &phpScanner{text: text}
	place, fresh := -1, true // fresh: a statement begins here, and not the one behind an if
	for s.next() {
		begin, begins := s.pos, fresh
		c := s.text[s.pos]
		fresh = c == ';' || c == '{' || c == '}'
		switch {
		case c == '\'' || c == '"':
			s.quoted()
		case isWord(c):
			switch strings.ToLower(s.word()) {
			case "require", "require_once", "include", "include_once":
			default:
				continue
			}
			statement, _, _ := strings.Cut(s.text[s.pos:], ";")
			if !strings.Contains(statement, "lib/setup.php") {
				continue
			}
			relative := strings.Contains(statement, "__DIR__") || strings.Contains(statement, "__FILE__")
			if place >= 0 || !relative || !begins {
				return 0, fmt.Errorf("stage config.php: %w: it must load lib/setup.php once, as __DIR__ . '/lib/setup.php'", ErrNotLiteral)
			}
			place = begin
		default:
			s.pos++
		}
	}
	if place < 0 {
		return 0, fmt.Errorf("stage config.php: %w: it loads no lib/setup.php", ErrNotLiteral)
	}
	return place, nil
}

// valuesOf are the places of the strings that a variable is set to, from their first quote to behind the last; plain says
// that each of them is all that the variable is set to.
func valuesOf(text, name string) (places [][2]int, plain bool) {
	s := &phpScanner{text: text}
	plain = true
	for s.next() {
		switch c := s.text[s.pos]; {
		case c == '$':
			if found, assigned := s.target(); found != name || !assigned || !s.next() {
				continue
			}
			begin := s.pos
			if quote := s.text[s.pos]; quote == '\'' || quote == '"' {
				s.quoted()
			}
			places = append(places, [2]int{begin, s.pos})
			plain = plain && s.pos > begin && s.take(';')
		case c == '\'' || c == '"':
			s.quoted()
		case isWord(c):
			s.word()
		default:
			s.pos++
		}
	}
	return places, plain
}
