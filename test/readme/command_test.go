package readme

import (
	"regexp"
	"slices"
	"strings"
)

const program = "moodle-exporter"

// binary is what the program says of itself.
type binary struct {
	commands []string // backup create, backup list, …
	flags    []string // without the dashes
}

var helpFlag = regexp.MustCompile(`--(\[no-\])?([a-z][a-z0-9.-]*)`)

// understand reads the program's own help.
func understand(help string) (b binary) {
	_, list, _ := strings.Cut(help, "\nCommands:\n")
	for line := range strings.Lines(list) {
		if strings.TrimSpace(line) == "" || line[0] == ' ' {
			continue // indented: what a command is for, and its flags
		}
		var words []string
		for _, word := range strings.Fields(line) {
			if word[0] == '[' || word[0] == '<' {
				break
			}
			words = append(words, word)
		}
		b.commands = append(b.commands, strings.Join(words, " "))
	}
	for _, found := range helpFlag.FindAllStringSubmatch(help, -1) {
		b.flags = append(b.flags, found[2])
		if found[1] != "" {
			b.flags = append(b.flags, "no-"+found[2])
		}
	}
	return b
}

// defaults are what a group of commands does when none of it is named.
var defaults = map[string]string{"": "serve", "backup": "backup create", "jobs": "jobs list"}

// name is the command that words begin with; empty where they ask for none, as --help does.
func (b binary) name(words []string) (name string, known bool) {
	var path []string
	for _, word := range words {
		if next := strings.Join(append(path, word), " "); !slices.ContainsFunc(b.commands, func(c string) bool { return c == next || strings.HasPrefix(c, next+" ") }) {
			break
		}
		path = append(path, word)
	}
	name = strings.Join(path, " ")
	if name == "" && len(words) > 0 && (words[0] == "--help" || words[0] == "--version") {
		return "", true
	}
	if other, some := defaults[name]; some && (len(words) == len(path) || strings.HasPrefix(words[len(path)], "-")) {
		name = other
	}
	return name, slices.Contains(b.commands, name)
}

// documented are the commands that a page tells of, each as it is written.
func (b binary) documented(p *page) (found []piece) {
	for _, line := range shellLines(p) {
		if line.text == program || strings.HasPrefix(line.text, program+" ") {
			found = append(found, line)
		}
	}
	for _, span := range p.spans {
		first, rest, _ := strings.Cut(span.text, " ")
		switch {
		case rest == "": // a name in a sentence
		case first == program:
			found = append(found, span)
		case slices.ContainsFunc(b.commands, func(c string) bool { return c == first || strings.HasPrefix(c, first+" ") }):
			found = append(found, piece{text: program + " " + span.text, line: span.line})
		}
	}
	return found
}

// forms are the command lines that a synopsis stands for: the shortest, and then each option, and each choice, added to
// that one alone.
func forms(synopsis string) [][]string {
	synopsis, _, _ = strings.Cut(synopsis, " | ") // what it says goes to another program
	fields := strings.Fields(synopsis)[1:]
	choices := make([][]string, len(fields))
	shortest := make([]string, len(fields))
	for i, field := range fields {
		inner, optional := strings.CutPrefix(field, "[")
		choices[i] = choose(strings.TrimSuffix(inner, "]"))
		if !optional {
			choices[i] = choose(field)
			shortest[i] = choices[i][0]
		}
	}
	all := [][]string{present(shortest)}
	for i := range fields {
		for _, choice := range choices[i] {
			if choice == shortest[i] {
				continue
			}
			form := slices.Clone(shortest)
			form[i] = choice
			all = append(all, present(form))
		}
	}
	return all
}

// choose takes a|b and --flag=a|b apart.
func choose(field string) []string {
	flag, values, found := strings.Cut(field, "=")
	if !found || !strings.Contains(values, "|") {
		return strings.Split(field, "|")
	}
	var all []string
	for value := range strings.SplitSeq(values, "|") {
		all = append(all, flag+"="+value)
	}
	return all
}

func present(words []string) []string {
	return slices.DeleteFunc(slices.Clone(words), func(word string) bool { return word == "" })
}
