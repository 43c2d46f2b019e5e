package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/moodle-exporter/moodle-exporter/backup"
)

// writeManifest says what is in a backup, for people.
func writeManifest(to io.Writer, m *backup.Manifest) error {
	var failures []error
	line := func(format string, values ...any) {
		_, err := fmt.Fprintf(to, format+"\n", values...)
		failures = append(failures, err)
	}
	line("Backup %s of site %s, made on %s by version %s in %s.", m.ID, m.Site, m.Host, m.Tool, m.Ended.Sub(m.Started).Round(100*time.Millisecond))
	line("Moodle %s at %s.", m.Moodle.Release, m.Moodle.WWWRoot)
	if m.Database != nil {
		line("Database %s on %s %s: %d tables, %d views, %d triggers, %d routines, %d events.", m.Database.Name, m.Database.Kind, m.Database.Version,
			len(m.Database.Rows), m.Database.Views, m.Database.Triggers, m.Database.Routines, m.Database.Events)
	}
	if f := m.Filedir; f != nil {
		line("Files: %d of %s, %d new of %s; %d missing from the site (%d accepted), %d taken from trashdir, %d damaged in the site.",
			f.Blobs, backup.Bytes(f.Size), f.NewBlobs, backup.Bytes(f.NewSize), f.Missing, f.Accepted, f.Rescued, f.Corrupt)
	}
	for _, component := range m.Components {
		line("  %-9s restores to %10s, newly stored %10s", component, backup.Bytes(m.Size(component)), backup.Bytes(m.Written(component)))
	}
	if !m.Complete() {
		line("It is not complete: a site cannot be brought back from it alone.")
	}
	if m.Incomplete != "" {
		line("What it lacks: %s.", m.Incomplete)
	}
	for _, warning := range m.Warnings {
		line("Note: %s.", warning)
	}
	return errors.Join(failures...)
}
