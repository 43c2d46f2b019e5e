package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// host is the site that is measured.
type host struct {
	options
	dir      string
	database *stand.MariaDBServer
	site     *stand.Site
	config   string
	backups  string
	random   *rand.Rand
}

func startHost(ctx context.Context, dir string, o options) (*host, error) {
	h := &host{options: o, dir: dir, config: filepath.Join(dir, "config.yml"), backups: filepath.Join(dir, "backups"),
		random: rand.New(rand.NewPCG(1, 2))}
	var err error
	if h.database, err = stand.StartMariaDB(ctx, dir, stand.MariaDBOptions{}); err != nil {
		return nil, err
	}
	if h.site, err = stand.NewSite(ctx, dir, h.database, stand.SiteOptions{Fixture: true, Socket: true}); err != nil {
		return nil, err
	}
	if err := h.addFiles(o.files, o.bytes); err != nil {
		return nil, err
	}
	settings := map[string]any{
		"sites": []map[string]any{{"name": "bench", "dir": h.site.CodeDir,
			"database": map[string]any{"admin": map[string]any{"user": h.database.RootUser(), "socket": h.database.Socket}}}},
		"backup":   map[string]any{"dir": h.backups},
		"services": []string{"mariadb.service"},
	}
	text, err := json.Marshal(settings) // JSON is YAML
	if err != nil {
		return nil, err
	}
	return h, os.WriteFile(h.config, text, 0o600)
}

func (h *host) describe() string {
	return fmt.Sprintf("site with %d files of %d MB beside the fixture's", h.files, h.bytes/1_000_000)
}

// addFiles stores content that compresses by half, as a mix of documents and pictures does.
func (h *host) addFiles(count int, bytes int64) error {
	content := make([]byte, bytes/int64(max(count, 1)))
	for range count {
		for i := range content {
			if i < len(content)/2 {
				content[i] = byte(h.random.Uint32())
			} else {
				content[i] = "the quick brown fox "[i%20]
			}
		}
		if _, err := h.site.StoreBlob(content); err != nil {
			return err
		}
	}
	return nil
}

// exporter is a command of the binary under measurement.
func (h *host) exporter(ctx context.Context, args ...string) *exec.Cmd {
	global := []string{"--config.file=" + h.config, "--state.dir=" + filepath.Join(h.dir, "state"), "--log.level=error"}
	command := exec.CommandContext(ctx, h.binary, append(global, args...)...)
	command.Stderr = os.Stderr
	return command
}
