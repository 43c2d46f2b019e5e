// Report writes docs/proof.md from what the parts of make proof have printed:
//
//	go run ./test/report DIR >docs/proof.md
//
// Each part has left up to three files in DIR: NAME.title, one line of what it is; NAME.json, the events of go test; or
// NAME.txt, the output of the bench. What is not there was not run, and the page does not speak of it.
package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: report DIR")
		os.Exit(2)
	}
	if err := report(os.Stdout, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

const head = `# What was proven, and on what

Written by ` + "`make proof`" + ` from what its parts have printed. Ratios are of runs taken in turn on one machine; the seconds are that machine's.
A test that failed says so here.

`

// part is one thing that make proof has done.
type part struct{ name, title string }

func report(w io.Writer, dir string) error {
	parts, err := readParts(dir)
	if err != nil {
		return err
	}
	if len(parts) == 0 {
		return fmt.Errorf("%s holds no results; make proof makes them", dir)
	}
	page := bytes.NewBufferString(head)
	fmt.Fprintf(page, "Machine: %s.\n", strings.Join(machine(), "; "))
	for _, p := range parts {
		fmt.Fprintf(page, "\n## %s\n\n", p.title)
		body, err := p.body(dir)
		if err != nil {
			return err
		}
		page.WriteString(body)
	}
	_, err = page.WriteTo(w)
	return err
}

// readParts are the parts in a directory, by name.
func readParts(dir string) (parts []part, err error) {
	titles, err := filepath.Glob(filepath.Join(dir, "*.title"))
	if err != nil {
		return nil, err
	}
	for _, path := range titles {
		title, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part{name: strings.TrimSuffix(filepath.Base(path), ".title"), title: strings.TrimSpace(string(title))})
	}
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.name, b.name) })
	return parts, nil
}

func (p *part) body(dir string) (string, error) {
	if text, err := os.ReadFile(filepath.Join(dir, p.name+".txt")); err == nil {
		return "```\n" + strings.TrimSpace(string(text)) + "\n```\n", nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	events, err := os.Open(filepath.Join(dir, p.name+".json"))
	if err != nil {
		return "", fmt.Errorf("read what %s has left: %w", p.name, err)
	}
	defer func() { _ = events.Close() }()
	results, err := readResults(events)
	if err != nil {
		return "", fmt.Errorf("read what %s has left: %w", p.name, err)
	}
	return tell(results), nil
}
