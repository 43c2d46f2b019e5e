package alerts

import (
	"embed"
	"io/fs"
)

//go:embed rules/*.yml runbooks/*.md alertmanager.yml moodle-mail.tmpl
var files embed.FS

// Files returns everything Export writes: rules/*.yml, alertmanager.yml, moodle-mail.tmpl and
// runbooks/NAME.md, the page of the alert NAME in Markdown.
func Files() fs.FS { return files }
