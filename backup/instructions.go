package backup

import (
	"bytes"
	_ "embed"
	"fmt"
	"path"
	"slices"
	"strings"
	"text/template"
)

//go:embed RESTORE.txt.tmpl
var restoreTemplate string

// instructions is RESTORE.txt: how people bring the site back from this very backup with zstd, tar,
// mariadb and cp. dir is the backup's own directory, pool that of the content files.
func instructions(m *Manifest, dir, pool string) ([]byte, error) {
	parsed, err := template.New(restoreName).Funcs(template.FuncMap{
		"sh": quoteShell, "bytes": Bytes, "mode": func(mode int64) string { return fmt.Sprintf("%04o", mode) },
	}).Parse(restoreTemplate)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	err = parsed.Execute(&text, map[string]any{
		"M": m, "Directories": directories(m), "Dir": dir, "Pool": pool, "Database": m.Has(Database), "Files": m.Has(Files), "Code": m.Has(Code),
		"Config": m.Has(Config), "Logs": m.Has(Logs), "System": m.Has(System), "Packet": packet(m),
	})
	return text.Bytes(), err
}

// directories are those in which a copy has its files.
func directories(m *Manifest) []string {
	names := []string{m.ID}
	for _, f := range m.Files {
		names = append(names, path.Dir(objectOf(m, f, "")))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// packet is the max_allowed_packet that loading the dump needs: that of the server it comes from, or more.
func packet(m *Manifest) int64 {
	if m.Database == nil {
		return 0
	}
	return max(m.Database.MaxAllowedPacket, m.Database.LongestStatement+1<<20)
}

// quoteShell quotes a word for a POSIX shell.
func quoteShell(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }
