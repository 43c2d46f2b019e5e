// Package dashboards holds the Grafana dashboards that come with the exporter, embedded in the binary: plain JSON of
// Grafana's classic schema 39, for Grafana 10 to 12, which file provisioning and the import page both take. They are
// made by the program in generate/; a test holds the two together.
package dashboards

import (
	"embed"
	"io/fs"

	"github.com/moodle-exporter/moodle-exporter/internal/export"
)

//go:generate go run ./generate .

//go:embed *.json
var files embed.FS

// Files returns everything Export writes: moodle-NAME.json.
func Files() fs.FS { return files }

// Export writes the dashboards into dir, which is made if it is missing.
func Export(dir string) error { return export.Write(files, dir) }
