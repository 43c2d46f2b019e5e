// Package man writes the manual page from the commands and flags as the program has them.
package man

import (
	_ "embed" // the page
	"fmt"
	"io"
	"slices"
	"strings"
	"text/template"

	"github.com/alecthomas/kingpin/v2"
)

//go:embed moodle-exporter.1.tmpl
var pageText string

// page is what the template is filled with.
type page struct {
	Date, Version string
	Flags         []*kingpin.FlagModel
	Commands      []command
}

// command is one that can be called, with its own flags and those of the groups it stands in.
type command struct {
	*kingpin.CmdModel
	Flags []*kingpin.FlagModel
}

// Write writes the page moodle-exporter(1) as roff, with the man macros. date is that of the release, such as 2026-03-01.
func Write(w io.Writer, app *kingpin.ApplicationModel, version, date string) error {
	t, err := template.New("page").Funcs(template.FuncMap{"roff": roff, "literal": literal, "flag": flag, "takes": takes}).Parse(pageText)
	if err != nil {
		return fmt.Errorf("write the manual page: %w", err)
	}
	filled := page{Date: date, Version: version, Flags: shown(app.Flags), Commands: callable(app.Commands, nil)}
	if err := t.Execute(w, filled); err != nil {
		return fmt.Errorf("write the manual page: %w", err)
	}
	return nil
}

// callable are the commands without further ones below them, in the order of --help.
func callable(all []*kingpin.CmdModel, inherited []*kingpin.FlagModel) []command {
	var found []command
	for _, c := range all {
		if c.Hidden || c.Name == "help" {
			continue
		}
		flags := append(slices.Clip(inherited), shown(c.Flags)...)
		if len(c.Commands) > 0 {
			found = append(found, callable(c.Commands, flags)...)
		} else {
			found = append(found, command{CmdModel: c, Flags: flags})
		}
	}
	return found
}

func shown(flags []*kingpin.FlagModel) []*kingpin.FlagModel {
	return slices.DeleteFunc(slices.Clone(flags), func(f *kingpin.FlagModel) bool { return f.Hidden })
}

// flag is how a flag is written on the command line.
func flag(f *kingpin.FlagModel) string {
	long := "--" + f.Name
	switch {
	case f.Name == "help" || f.Name == "version":
	case f.IsBoolFlag():
		long = "--[no-]" + f.Name
	default:
		value := f.PlaceHolder
		if value == "" {
			value = strings.ToUpper(f.Name[strings.LastIndexAny(f.Name, ".-")+1:])
		}
		long += "=" + value
	}
	if f.Short != 0 {
		return "-" + string(f.Short) + ", " + long
	}
	return long
}

// takes is the value of a flag that is not named, where it has one that says something.
func takes(f *kingpin.FlagModel) string {
	value := strings.Join(f.Default, ", ")
	if f.IsBoolFlag() && value != "true" {
		return ""
	}
	return value
}

// roff is a text in which nothing is a command to the formatter.
func roff(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	text = strings.ReplaceAll(text, `\`, `\e`)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}

// literal is roff for what is typed: its hyphens stay such, and can be copied from the page.
func literal(text string) string {
	return strings.NewReplacer("-", `\-`, "'", `\(aq`, "~", `\(ti`, "^", `\(ha`).Replace(roff(text))
}
