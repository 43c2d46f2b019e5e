package statuspage

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed" // the pages and their style
	"encoding/base64"
	"fmt"
	"html/template"
	"net/http"
	"strings"
)

var (
	//go:embed page.html
	pageTemplate string
	//go:embed runbook.html
	runbookTemplate string
	//go:embed style.css
	style string
)

// page is a template with the style and the headers that every page of ours has.
type page struct {
	template *template.Template
	policy   string
}

// newPage parses a template that comes with this program.
func newPage(text string) *page {
	functions := template.FuncMap{
		"style":  func() template.CSS { return template.CSS(style) }, //nolint:gosec // our own file
		"anchor": strings.ToLower,
		"mark":   mark,
		// Behind a proxy the page may not be at the root: its links are relative.
		"relative": func(path string) string { return "./" + strings.TrimPrefix(path, "/") },
		"bad":      Level.Bad,
		"inline":   func(text string) template.HTML { return template.HTML(markdown{}.inline(text)) }, //nolint:gosec // inline escapes all text
		"percent":  func(ratio float64) int { return int(ratio * 100) },
		"first":    func(most int, of []Trouble) []Trouble { return of[:min(most, len(of))] },
		"minus":    func(a, b int) int { return a - b },
		"drawing":  func() string { return fmt.Sprintf("0 0 %d %d", ChartWidth, ChartHeight) },
	}
	sum := sha256.Sum256([]byte(style))
	return &page{
		template: template.Must(template.New("page").Funcs(functions).Parse(text)),
		policy: fmt.Sprintf("default-src 'none'; style-src 'sha256-%s'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
			base64.StdEncoding.EncodeToString(sum[:])),
	}
}

// mark is a sign beside a level's word, for the eye alone.
func mark(level Level) string {
	return map[Level]string{OK: "✓", Warning: "!", Critical: "✕", Unknown: "?", Info: "i"}[level]
}

// write answers a request with the page of data. The page is complete or it is an error.
func (p *page) write(w http.ResponseWriter, r *http.Request, data any) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "this page can only be read", http.StatusMethodNotAllowed)
		return
	}
	var body bytes.Buffer
	if err := p.template.Execute(&body, data); err != nil {
		http.Error(w, "the page cannot be shown: "+err.Error(), http.StatusInternalServerError)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/html; charset=utf-8")
	header.Set("Content-Security-Policy", p.policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cache-Control", "no-store")
	_, _ = w.Write(body.Bytes()) // a reader who has gone is no concern of ours
}

// Handler shows the report that load makes for each request, as a page without scripts.
func Handler(load func(context.Context) Report) http.Handler {
	p := newPage(pageTemplate)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.write(w, r, load(r.Context()))
	})
}
