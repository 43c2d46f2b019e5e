package alerts

import "github.com/moodle-exporter/moodle-exporter/internal/export"

// Export writes the rules, the runbooks, the Alertmanager configuration and its mail template into dir. An
// alertmanager.yml that was edited stays, with the shipped one beside it as alertmanager.yml.dist.
func Export(dir string) error { return export.Write(files, dir, "alertmanager.yml") }
