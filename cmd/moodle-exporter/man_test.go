package main

import (
	"bytes"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// said runs the program and returns what it wrote.
func said(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := run(args, &stdout, &stderr); code != exitDone {
		t.Fatalf("%q: exit status %d: %s", args, code, stderr.String())
	}
	return stdout.String() + stderr.String()
}

// The page is compared with what --help says, which comes from the flag library and not from us.
func TestManNamesEveryCommandAndFlag(t *testing.T) {
	parts := strings.Split(strings.ReplaceAll(said(t, "man", "--date=2026-03-01"), `\-`, "-"), ".SS \"moodle-exporter ")
	argument := regexp.MustCompile(` [[<].*`)
	global, sections := parts[0], map[string]string{}
	for _, part := range parts[1:] {
		title, text, _ := strings.Cut(part, "\"\n")
		sections[argument.ReplaceAllString(title, "")] = text
	}
	_, list, _ := strings.Cut(said(t, "--help"), "\nCommands:\n")
	named := regexp.MustCompile(`(?m)^([a-z-]+(?: [a-z-]+)?)\*?(?: [[<].*)?$`).FindAllStringSubmatch(list, -1)
	flag := regexp.MustCompile(`(?m)^ +(?:-[a-z], )?(--[^ =]+)`)
	flags := 0
	for _, match := range named[1:] { // the first one is help
		command := match[1]
		section, found := sections[command]
		if !found {
			t.Errorf("command %s is not in the manual page", command)
		}
		for _, match := range flag.FindAllStringSubmatch(said(t, append(strings.Fields(command), "--help")...), -1) {
			name := strings.NewReplacer("--[no-]help", "--help", "--[no-]version", "--version").Replace(match[1])
			if !strings.Contains(global+section, name) {
				t.Errorf("flag %s of %s is not in the manual page", name, command)
			}
			flags++
		}
	}
	if len(named)-1 != len(sections) || flags < 100 {
		t.Errorf("%d commands and %d flags in --help, %d commands in the page", len(named)-1, flags, len(sections))
	}
}

func TestManIsSoundRoff(t *testing.T) {
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Skip("no groff here to read the manual page")
	}
	check := exec.Command(groff, "-man", "-ww", "-z", "-Tutf8")
	check.Stdin = strings.NewReader(said(t, "man", "--date=2026-03-01"))
	if complaints, err := check.CombinedOutput(); err != nil || len(complaints) > 0 {
		t.Errorf("groff says (%v): %s", err, complaints)
	}
}
