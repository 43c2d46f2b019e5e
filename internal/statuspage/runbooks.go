package statuspage

import (
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"regexp"
	"slices"
	"strings"
)

// runbookName is a name that can be part of a path without meaning anything there.
var runbookName = regexp.MustCompile(`^[A-Za-z0-9]+$`)

// runbookPage is what the template shows: a list of names, or one page.
type runbookPage struct {
	Title string
	Names []string
	Body  template.HTML
}

// Runbooks serves runbooks/NAME.md of files as pages at /runbooks/NAME, and their list at /runbooks/.
func Runbooks(files fs.FS) http.Handler {
	p := newPage(runbookTemplate)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		names, err := runbookNames(files)
		if err != nil {
			http.Error(w, "the runbooks cannot be listed: "+err.Error(), http.StatusInternalServerError)
			return
		}
		name := strings.TrimPrefix(r.URL.Path, "/runbooks/")
		if name == "" {
			p.write(w, r, runbookPage{Title: "All", Names: names})
			return
		}
		if !slices.Contains(names, name) {
			http.Error(w, "there is no runbook of this name; see /runbooks/ for those there are", http.StatusNotFound)
			return
		}
		others := slices.DeleteFunc(names, func(other string) bool { return other == name })
		text, err := fs.ReadFile(files, "runbooks/"+name+".md")
		if err != nil {
			http.Error(w, "the runbook cannot be read: "+err.Error(), http.StatusInternalServerError)
			return
		}
		p.write(w, r, runbookPage{Title: name, Body: markdown{pages: others}.render(string(text))})
	})
}

func runbookNames(files fs.FS) ([]string, error) {
	paths, err := fs.Glob(files, "runbooks/*.md")
	if err != nil {
		return nil, fmt.Errorf("list runbooks: %w", err)
	}
	var names []string
	for _, p := range paths {
		if name := strings.TrimSuffix(path.Base(p), ".md"); runbookName.MatchString(name) {
			names = append(names, name)
		}
	}
	return names, nil
}
