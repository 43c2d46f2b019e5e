package alerts_test

import (
	"bytes"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/alerts"
)

// command is a call of this program in a runbook, with its subcommand words.
var command = regexp.MustCompile("moodle-exporter ((?:[a-z]+ ?)+)")

// The commands that exist; a runbook must not send anyone to one that does not.
var commands = []string{
	"status", "backup", "backup list", "backup show", "backup verify", "backup prune", "backup copy", "backup accept-missing",
	"restore", "drill", "maintain", "jobs", "jobs show", "config check", "config show", "config init", "config grants",
}

func TestRunbooks(t *testing.T) {
	sections := []string{"## What users notice\n", "## Confirm\n", "## Fix\n", "## Prevent\n"}
	for name := range allRules(t) {
		page, err := fs.ReadFile(alerts.Files(), "runbooks/"+name+".md")
		if err != nil {
			t.Error(err)
			continue
		}
		if !bytes.HasPrefix(page, []byte("# "+name+"\n")) {
			t.Errorf("%s: the runbook does not begin with the alert's name", name)
		}
		last := -1
		for _, section := range sections {
			at := bytes.Index(page, []byte(section))
			if at <= last {
				t.Errorf("%s: section %q is missing or out of order", name, strings.TrimSpace(section))
			}
			last = at
		}
		if !bytes.Contains(page, []byte("```\n")) {
			t.Errorf("%s: no command to type", name)
		}
	}
}

func TestRunbooksBelongToAlerts(t *testing.T) {
	rules := allRules(t)
	pages, err := fs.Glob(alerts.Files(), "runbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	mentioned := regexp.MustCompile(`\bMoodle[A-Z][A-Za-z]+\b`)
	for _, p := range pages {
		if _, exists := rules[strings.TrimSuffix(path.Base(p), ".md")]; !exists {
			t.Errorf("%s belongs to no alert", p)
		}
		page, err := fs.ReadFile(alerts.Files(), p)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range mentioned.FindAllString(string(page), -1) {
			if _, exists := rules[name]; !exists && name != "MoodleTestMail" {
				t.Errorf("%s sends its reader to %s, which is no alert", p, name)
			}
		}
	}
}

func TestRunbooksUseCommandsThatExist(t *testing.T) {
	texts := map[string]string{}
	for name, r := range allRules(t) {
		page, err := fs.ReadFile(alerts.Files(), "runbooks/"+name+".md")
		if err != nil {
			t.Fatal(err)
		}
		texts[name] = r.Annotations["description"] + "\n" + string(page)
	}
	for name, text := range texts {
		for _, found := range command.FindAllStringSubmatch(text, -1) {
			words := strings.Fields(found[1])
			if len(words) > 0 && slices.ContainsFunc(commands, func(c string) bool {
				known := strings.Fields(c)
				return len(words) >= len(known) && slices.Equal(words[:len(known)], known)
			}) {
				continue
			}
			// Units are named like the program: "moodle-exporter prometheus …" after systemctl.
			if strings.Contains(text, "systemctl status "+strings.TrimSpace(found[0])) {
				continue
			}
			t.Errorf("%s: there is no command %q", name, found[0])
		}
	}
}
