package backup

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/moodle-exporter/moodle-exporter/internal/config"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// TestPlaceRefused: a directory that will not do is refused in plain words, and nothing is made there.
func TestPlaceRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"data", "code", "elsewhere"} {
		must(t, os.Mkdir(filepath.Join(dir, name), 0o700))
	}
	must(t, os.WriteFile(filepath.Join(dir, "file"), nil, 0o600))
	must(t, os.Symlink(filepath.Join(dir, "unmounted"), filepath.Join(dir, "dangling")))
	must(t, os.Symlink(filepath.Join(dir, "data"), filepath.Join(dir, "link")))
	for _, test := range []struct{ place, says string }{
		{"data/backups", "lies in the dataroot"},
		{"link/backups", "lies in the dataroot"},
		{"code/backups", "lies in the code"},
		{"elsewhere/backups", "lies in the filedir"},
		{".", "holds the site itself"},
		{"dangling", "is a link to " + filepath.Join(dir, "unmounted") + ", which does not exist"},
		{"file", "is not a directory"},
		{"file/backups", "not a directory"},
	} {
		o := &Options{
			Site:   &moodle.Site{Name: "lms", Dir: filepath.Join(dir, "code"), Config: moodle.PHPConfig{DataRoot: filepath.Join(dir, "data"), FileDir: filepath.Join(dir, "elsewhere")}},
			Config: config.Backup{Dir: filepath.Join(dir, test.place)},
		}
		err := MakeDir(o)
		var refusal *RefusedError
		if !errors.As(err, &refusal) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: got %v, want a refusal that says %q", test.place, err, test.says)
		}
		for _, made := range []string{"data", "code", "elsewhere"} {
			if entries, err := os.ReadDir(filepath.Join(dir, made)); err != nil || len(entries) > 0 {
				t.Errorf("%s: left %v in %s (%v)", test.place, entries, made, err)
			}
		}
	}
}
