// Command generate writes the dashboards into the directory that it is given: go generate ./dashboards.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: generate DIR")
	}
	files, err := render()
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(args[0], name), content, 0o644); err != nil { //nolint:gosec // source, read by everybody
			return err
		}
	}
	return nil
}

// render returns the text of every dashboard by its file name.
func render() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, b := range []board{overview(), site(), host(), database(), backups()} {
		var text bytes.Buffer
		encoder := json.NewEncoder(&text)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(b.build()); err != nil {
			return nil, fmt.Errorf("write dashboard %s: %w", b.name, err)
		}
		files["moodle-"+b.name+".json"] = text.Bytes()
	}
	return files, nil
}
