package control

import (
	"bytes"
	"html/template"
	"time"
)

// pageMark tells our own maintenance page from those of others.
const pageMark = "<!-- closed by moodle-exporter -->"

var ownPage = template.Must(template.New("maintenance").Parse(`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Site maintenance</title>
<style>body { max-width: 40em; margin: 15vh auto; padding: 0 1em; font: 1.1em/1.5 sans-serif; }</style>
</head>
<body>
<h1>Site maintenance</h1>
<p>This site is undergoing maintenance and is currently not available.</p>
{{if .}}<p>It is expected back at <time datetime="{{.Format "2006-01-02T15:04:05Z07:00"}}">{{.Format "15:04 MST, Monday 2 January 2006"}}</time>.</p>
{{end}}</body>
</html>
`))

// page is what visitors see: the site's own template, which Moodle itself would use (enable_cli_maintenance_mode in
// lib/adminlib.php), else a plain page with the time at which the site is expected back.
func page(own []byte, planned time.Time) []byte {
	var text bytes.Buffer
	if len(bytes.TrimSpace(own)) > 0 {
		text.Write(own)
	} else {
		var expected *time.Time
		if !planned.IsZero() {
			// A minute that has begun is not over.
			up := planned.Add(time.Minute - time.Nanosecond).Truncate(time.Minute)
			expected = &up
		}
		_ = ownPage.Execute(&text, expected) // writing to memory does not fail, and the template is tried by the tests
	}
	text.WriteString("\n" + pageMark + "\n")
	return text.Bytes()
}
