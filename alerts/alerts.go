package alerts

import (
	"embed"
	"fmt"
	"io/fs"
)

//go:embed rules/*.yml runbooks/*.md alertmanager.yml moodle-mail.tmpl
var files embed.FS

// Files returns everything Export writes: rules/*.yml, runbooks/*.md, alertmanager.yml and
// moodle-mail.tmpl.
func Files() fs.FS { return files }

// Runbook returns the page of the named alert as Markdown. The error is fs.ErrNotExist for a name
// that is no alert's.
func Runbook(alert string) ([]byte, error) {
	page, err := files.ReadFile("runbooks/" + alert + ".md")
	if err != nil {
		return nil, fmt.Errorf("read the runbook of alert %s: %w", alert, err)
	}
	return page, nil
}
